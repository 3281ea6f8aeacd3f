//! Resume tokens: with one, a client that reconnects keeps its peer id. A MAC over the peer, the expiry and the token's
//! subject and swarms, so that it works only for who it was made for. The client keeps it in memory only.
//!
//! On the wire: key id (1 byte), expiry in seconds (4, big endian), peer (16), code (16), as 50 characters of base64url.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

use super::{
    ids::PeerId,
    mac::{MAC_LEN, MacKeys},
    time::Timestamp,
    token::Claims,
};

const LABEL: &[u8; 8] = b"resume-1";
const LEN: usize = 21 + MAC_LEN;

/// A token for `peer`, valid until `expires` beside access tokens with the subject and swarms of `claims`.
pub fn issue(keys: &MacKeys, peer: PeerId, expires: Timestamp, claims: &Claims) -> String {
    let mut token = [0; LEN];
    token[0] = keys.current();
    let expiry = u32::try_from(expires.seconds()).unwrap_or(u32::MAX);
    token[1..5].copy_from_slice(&expiry.to_be_bytes());
    token[5..21].copy_from_slice(peer.as_bytes());
    let code = keys.sign(keys.current(), LABEL, &[&token[..21], &bound_to(claims)]);
    token[21..].copy_from_slice(&code.expect("the current key is one of the keys"));
    URL_SAFE_NO_PAD.encode(token)
}

/// The peer that `token` keeps; `None` when it is not ours, has expired, or was made for another subject or other
/// swarms: its bearer gets a new peer id.
pub fn verify(keys: &MacKeys, token: &str, now: Timestamp, claims: &Claims) -> Option<PeerId> {
    let mut bytes = [0; LEN + 2];
    if token.len() != 50 {
        return None;
    }
    let read = URL_SAFE_NO_PAD.decode_slice(token, &mut bytes).ok()?;
    let (signed, code) = bytes[..read].split_at(21);
    if !keys.verify(signed[0], LABEL, &[signed, &bound_to(claims)], code) {
        return None;
    }
    let expiry = u32::from_be_bytes(signed[1..5].try_into().ok()?);
    let peer = PeerId::from_bytes(signed[5..].try_into().ok()?);
    (now < Timestamp::from_seconds(expiry.into())).then_some(peer)
}

fn bound_to(claims: &Claims) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut part = |text: &str| {
        hash.update(u64::try_from(text.len()).expect("a length is 64 bits at most").to_be_bytes());
        hash.update(text);
    };
    // Absent and empty are different subjects.
    part(if claims.sub.is_some() { "sub" } else { "" });
    part(claims.sub.as_deref().unwrap_or_default());
    let mut swarms: Vec<String> = claims.swarms.iter().map(ToString::to_string).collect();
    swarms.sort_unstable();
    for swarm in swarms {
        part(&swarm);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::{super::SwarmPattern, *};

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn keys() -> MacKeys {
        MacKeys::new([(1, b"secret".as_slice())]).unwrap()
    }

    fn claims(sub: Option<&str>, swarms: &[&str]) -> Claims {
        let swarms = swarms.iter().map(|s| SwarmPattern::parse(s).unwrap()).collect();
        Claims { sub: sub.map(Into::into), ..Claims::until(NOW, swarms) }
    }

    fn token() -> String {
        issue(&keys(), PeerId::from_bytes([9; 16]), NOW + Duration::from_mins(1), &claims(Some("ann"), &["a", "b"]))
    }

    #[test]
    fn it_keeps_the_peer_for_the_same_subject_and_swarms() {
        assert_eq!(token().len(), 50);
        let resumed = verify(&keys(), &token(), NOW, &claims(Some("ann"), &["b", "a"]));
        assert_eq!(resumed, Some(PeerId::from_bytes([9; 16])));
    }

    #[test]
    fn it_is_worth_nothing_to_others_or_later() {
        for other in [
            claims(Some("bob"), &["a", "b"]),
            claims(None, &["a", "b"]),
            claims(Some("ann"), &["a"]),
            claims(Some("ann"), &["ab"]),
        ] {
            assert_eq!(verify(&keys(), &token(), NOW, &other), None);
        }
        let late = NOW + Duration::from_mins(1);
        assert_eq!(verify(&keys(), &token(), late, &claims(Some("ann"), &["a", "b"])), None);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,64}") {
            prop_assert_eq!(verify(&keys(), &text, NOW, &claims(Some("ann"), &["a", "b"])), None);
        }

        #[test]
        fn no_changed_token_passes(at in 0..50_usize, to in "[A-Za-z0-9_-]") {
            let mut changed = token();
            changed.replace_range(at..=at, &to);
            let resumed = verify(&keys(), &changed, NOW, &claims(Some("ann"), &["a", "b"]));
            prop_assert!(changed == token() || resumed.is_none());
        }
    }
}
