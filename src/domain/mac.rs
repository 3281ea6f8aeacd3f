//! Keyed message authentication codes (HMAC-SHA-256, RFC 2104, cut to 16 bytes) under keys that rotate.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// Length of a code in bytes.
pub const MAC_LEN: usize = 16;

/// Keys for tickets and resume tokens. The first signs; all verify, so that a new key can be added before the old one
/// is taken away.
#[derive(Clone)]
pub struct MacKeys {
    // Never empty.
    keys: Vec<(u8, Hmac<Sha256>)>,
}

impl MacKeys {
    /// Takes `(id, secret)` pairs; `None` when there are none.
    pub fn new<'a>(keys: impl IntoIterator<Item = (u8, &'a [u8])>) -> Option<Self> {
        let keys: Vec<_> = keys
            .into_iter()
            .map(|(id, secret)| (id, Hmac::new_from_slice(secret).expect("HMAC takes keys of any length")))
            .collect();
        (!keys.is_empty()).then_some(Self { keys })
    }

    /// The key that signs: its id goes into what is signed.
    pub fn current(&self) -> u8 {
        self.keys[0].0
    }

    /// The code of `parts` under key `id`; `None` for a key we do not (or no longer) have. `label` keeps the codes of
    /// different uses apart. Parts are not delimited: all but the last must have a fixed length.
    pub fn sign(&self, id: u8, label: &[u8; 8], parts: &[&[u8]]) -> Option<[u8; MAC_LEN]> {
        let (_, key) = self.keys.iter().find(|(key, _)| *key == id)?;
        let mut mac = key.clone();
        mac.update(label);
        for part in parts {
            mac.update(part);
        }
        let code: [u8; 32] = mac.finalize().into_bytes().into();
        Some(code[..MAC_LEN].try_into().expect("16 of 32 bytes"))
    }

    /// Whether `code` is the code of `parts` under key `id`, compared in constant time.
    pub fn verify(&self, id: u8, label: &[u8; 8], parts: &[&[u8]], code: &[u8]) -> bool {
        self.sign(id, label, parts).is_some_and(|expected| expected.ct_eq(code).into())
    }
}

impl fmt::Debug for MacKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|(id, _)| id)).finish()
    }
}
