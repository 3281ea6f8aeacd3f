//! Names of peers and swarms. They can only be made by parsing (or at random), so code further in never checks again.

use std::{fmt, sync::Arc};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rand::Rng;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// Why a text is not a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadId {
    /// Not 22 characters of base64url that spell 16 bytes.
    #[error("a peer id is 22 characters of base64url")]
    Peer,
    /// Empty, too long, or a character that is not allowed.
    #[error("a swarm id is 1 to 128 characters of A-Z a-z 0-9 . _ ~ : / -")]
    Swarm,
    /// Neither a swarm id nor the beginning of one with a `*` behind it.
    #[error("a swarm pattern is a swarm id, or the beginning of one followed by *")]
    Pattern,
}

/// One browser tab's session: 128 random bits, written as 22 base64url characters. Made by us, never by the client.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId([u8; 16]);

impl PeerId {
    /// A new name that nobody can guess.
    pub fn random(rng: &mut impl Rng) -> Self {
        let mut bytes = [0; 16];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }

    /// Reads the 22 characters; one text per id (stray low bits in the last character are refused).
    pub fn parse(text: &str) -> Result<Self, BadId> {
        let mut bytes = [0; 18];
        if text.len() != 22 {
            return Err(BadId::Peer);
        }
        let read = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).map_err(|_| BadId::Peer)?;
        let id = bytes[..read].try_into().map_err(|_| BadId::Peer)?;
        Ok(Self(id))
    }

    /// The id made of these 16 bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The beginning of the text, for a reader of logs: enough to tell peers apart.
    pub fn short(&self) -> String {
        format!("{self:.6}")
    }

    /// The 16 bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; 22];
        let written = URL_SAFE_NO_PAD.encode_slice(self.0, &mut text).expect("16 bytes are 22 characters of base64");
        f.pad(std::str::from_utf8(&text[..written]).expect("base64 is ASCII"))
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for PeerId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PeerId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(D::Error::custom)
    }
}

/// The peers watching the same content in the same rendition: 1 to 128 characters of `[A-Za-z0-9._~:/-]`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SwarmId(Arc<str>);

impl SwarmId {
    /// Longest name, in characters.
    pub const MAX: usize = 128;

    /// Reads a name.
    pub fn parse(text: &str) -> Result<Self, BadId> {
        if text.is_empty() || text.len() > Self::MAX || !text.bytes().all(allowed_in_swarm) {
            return Err(BadId::Swarm);
        }
        Ok(Self(text.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

const fn allowed_in_swarm(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'~' | b':' | b'/' | b'-')
}

impl fmt::Display for SwarmId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for SwarmId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for SwarmId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for SwarmId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(D::Error::custom)
    }
}

/// The swarms a token allows: one by name, or all that begin alike (`movie/42/*`; a bare `*` allows every swarm).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SwarmPattern {
    /// This swarm.
    Exact(SwarmId),
    /// Every swarm whose name begins like this.
    Prefix(String),
}

impl SwarmPattern {
    /// Reads a pattern.
    pub fn parse(text: &str) -> Result<Self, BadId> {
        match text.strip_suffix('*') {
            None => SwarmId::parse(text).map(Self::Exact).map_err(|_| BadId::Pattern),
            Some(prefix) if prefix.len() <= SwarmId::MAX && prefix.bytes().all(allowed_in_swarm) => {
                Ok(Self::Prefix(prefix.to_owned()))
            }
            Some(_) => Err(BadId::Pattern),
        }
    }

    /// Whether this pattern allows `swarm`.
    pub fn allows(&self, swarm: &SwarmId) -> bool {
        match self {
            Self::Exact(name) => name == swarm,
            Self::Prefix(prefix) => swarm.as_str().starts_with(prefix),
        }
    }
}

impl fmt::Display for SwarmPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => write!(f, "{name}"),
            Self::Prefix(prefix) => write!(f, "{prefix}*"),
        }
    }
}

impl Serialize for SwarmPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SwarmPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_peer_id_has_one_spelling() {
        let id = PeerId::from_bytes([255; 16]);
        assert_eq!(id.to_string(), "_____________________w");
        assert_eq!(PeerId::parse("_____________________w"), Ok(id));
        for bad in [
            "",
            "short",
            "_____________________x",
            "____________________+w",
            "_____________________w=",
            "ä____________________",
        ] {
            assert_eq!(PeerId::parse(bad), Err(BadId::Peer), "{bad}");
        }
    }

    #[test]
    fn swarm_names_keep_to_their_alphabet() {
        for good in ["a", "movie/42/1080p", "A.b_c~d:e-f"] {
            assert_eq!(SwarmId::parse(good).map(|s| s.to_string()), Ok(good.to_owned()));
        }
        let long = "x".repeat(129);
        for bad in ["", " ", "a b", "a*", "{a}", "a\n", "ü", long.as_str()] {
            assert_eq!(SwarmId::parse(bad), Err(BadId::Swarm), "{bad}");
        }
    }

    #[test]
    fn a_pattern_allows_its_name_or_its_beginning() {
        let swarm = SwarmId::parse("movie/42/1080p").unwrap();
        let allows = |pattern: &str| SwarmPattern::parse(pattern).unwrap().allows(&swarm);
        assert!(allows("movie/42/1080p") && allows("movie/42/*") && allows("*"));
        assert!(!allows("movie/42/1080") && !allows("movie/43/*") && !allows("Movie/*"));
        assert_eq!(SwarmPattern::parse("a*b"), Err(BadId::Pattern));
        assert_eq!(SwarmPattern::parse("a**"), Err(BadId::Pattern));
    }

    proptest! {
        #[test]
        fn peer_ids_survive_the_wire(bytes: [u8; 16]) {
            let id = PeerId::from_bytes(bytes);
            prop_assert_eq!(PeerId::parse(&id.to_string()), Ok(id));
        }

        #[test]
        fn no_text_panics(text in ".*") {
            if let Ok(id) = PeerId::parse(&text) { prop_assert_eq!(id.to_string(), text.clone()); }
            if let Ok(id) = SwarmId::parse(&text) { prop_assert_eq!(id.to_string(), text.clone()); }
            if let Ok(pattern) = SwarmPattern::parse(&text) { prop_assert_eq!(pattern.to_string(), text); }
        }
    }
}
