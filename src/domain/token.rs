//! Access tokens (JWT, RFC 7519): the publisher's backend signs which swarms a viewer may join, we verify.

use std::fmt;

use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode, errors::ErrorKind,
};
use serde::{Deserialize, Serialize};

use super::{ids::SwarmPattern, policy::PolicyOverrides, time::Timestamp};

/// Longest token, in bytes.
pub const MAX_TOKEN: usize = 8 * 1024;
/// Most swarm patterns in one token: they travel with every call of the session.
pub const MAX_PATTERNS: usize = 32;

/// What a token says. `aud` is required as well and checked, not kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// When it ends, in seconds since the epoch. There is no leeway.
    pub exp: u64,
    /// When it begins, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nbf: Option<u64>,
    /// The swarms its bearer may join.
    pub swarms: Vec<SwarmPattern>,
    /// Who the publisher says it is; budgets and resume tokens are bound to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub: Option<String>,
    /// Whether the bearer may upload; yes where it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload: Option<bool>,
    /// Whether the bearer may ask why its lists are as they are; no where it is not said. For people who try things out:
    /// it shows what is known of others.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub explain: bool,
    /// Changes to the client policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyOverrides>,
}

impl Claims {
    /// Claims that allow `swarms` until `expires`, and say nothing else.
    #[must_use]
    pub fn until(expires: Timestamp, swarms: Vec<SwarmPattern>) -> Self {
        Self { exp: expires.seconds(), nbf: None, swarms, sub: None, upload: None, explain: false, policy: None }
    }
}

/// Why a token is not good. The texts are what the client gets: at most 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not a JWT, or not with the claims we need.
    #[error("token malformed")]
    Malformed,
    /// Its `kid` names no key of ours, its algorithm is not that of its key, or the signature is wrong.
    #[error("token signature invalid")]
    Signature,
    /// Made for somebody else.
    #[error("token audience wrong")]
    Audience,
    /// `exp` has passed.
    #[error("token expired")]
    Expired,
    /// `nbf` lies ahead.
    #[error("token not valid yet")]
    Early,
}

/// One key. The algorithm belongs to the key: what a token's header says never chooses it.
#[derive(Clone)]
pub struct TokenKey {
    id: String,
    algorithm: Algorithm,
    verifies: DecodingKey,
    signs: Option<EncodingKey>,
}

impl TokenKey {
    /// A shared secret (HS256), as plain text. It can sign as well.
    pub fn hs256(id: &str, secret: &str) -> Self {
        Self {
            id: id.to_owned(),
            algorithm: Algorithm::HS256,
            verifies: DecodingKey::from_secret(secret.as_bytes()),
            signs: Some(EncodingKey::from_secret(secret.as_bytes())),
        }
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:?})", self.id, self.algorithm)
    }
}

/// The keys tokens are verified with.
#[derive(Clone, Debug)]
pub struct TokenKeys {
    keys: Vec<TokenKey>,
    audience: String,
}

#[derive(Serialize)]
struct WithAudience<'a> {
    aud: &'a str,
    #[serde(flatten)]
    claims: &'a Claims,
}

impl TokenKeys {
    /// `keys` in the order in which they are tried for a token without `kid`.
    pub fn new(keys: Vec<TokenKey>, audience: &str) -> Self {
        Self { keys, audience: audience.to_owned() }
    }

    /// Reads a token.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Claims, TokenError> {
        if token.len() > MAX_TOKEN {
            return Err(TokenError::Malformed);
        }
        let header = decode_header(token).map_err(|_| TokenError::Malformed)?;
        let mut verdict = Err(TokenError::Signature);
        for key in self.keys.iter().filter(|key| header.kid.as_ref().is_none_or(|kid| *kid == key.id)) {
            verdict = self.verify_with(key, token);
            if verdict != Err(TokenError::Signature) {
                break;
            }
        }
        let claims = verdict?;
        if now >= Timestamp::from_seconds(claims.exp) {
            return Err(TokenError::Expired);
        }
        if claims.nbf.is_some_and(|nbf| now < Timestamp::from_seconds(nbf)) {
            return Err(TokenError::Early);
        }
        Ok(claims)
    }

    fn verify_with(&self, key: &TokenKey, token: &str) -> Result<Claims, TokenError> {
        let mut rules = Validation::new(key.algorithm);
        rules.set_required_spec_claims(&["exp", "aud"]);
        rules.set_audience(&[&self.audience]);
        // Our own clock, above: the library reads the system's.
        rules.validate_exp = false;
        let claims = decode::<Claims>(token, &key.verifies, &rules)
            .map_err(|error| match error.kind() {
                ErrorKind::InvalidSignature | ErrorKind::InvalidAlgorithm => TokenError::Signature,
                ErrorKind::InvalidAudience => TokenError::Audience,
                _ => TokenError::Malformed,
            })?
            .claims;
        if claims.swarms.len() > MAX_PATTERNS { Err(TokenError::Malformed) } else { Ok(claims) }
    }

    /// Signs `claims` with the first key that can; `None` when none can.
    pub fn sign(&self, claims: &Claims) -> Option<String> {
        let (key, signs) = self.keys.iter().find_map(|key| Some((key, key.signs.as_ref()?)))?;
        let header = Header { kid: Some(key.id.clone()), ..Header::new(key.algorithm) };
        let claims = WithAudience { aud: &self.audience, claims };
        Some(encode(&header, &claims, signs).expect("plain claims under a key of its algorithm"))
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn keys() -> TokenKeys {
        TokenKeys::new(
            vec![TokenKey::hs256("new", "secret of the new key"), TokenKey::hs256("old", "secret of the old key")],
            "starling",
        )
    }

    fn claims() -> Value {
        json!({ "aud": "starling", "exp": 1_800_000_060, "swarms": ["movie/*"], "sub": "ann" })
    }

    fn signed(header: Header, secret: &str, claims: &Value) -> String {
        encode(&header, claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap()
    }

    fn hs256(claims: &Value) -> Result<Claims, TokenError> {
        keys().verify(&signed(Header::new(Algorithm::HS256), "secret of the new key", claims), NOW)
    }

    #[test]
    fn what_we_sign_we_verify() {
        let claims = hs256(&claims()).unwrap();
        let token = keys().sign(&claims).unwrap();
        assert_eq!(keys().verify(&token, NOW), Ok(claims));
    }

    #[test]
    fn every_key_verifies_with_or_without_its_name() {
        for secret in ["secret of the new key", "secret of the old key"] {
            assert!(keys().verify(&signed(Header::new(Algorithm::HS256), secret, &claims()), NOW).is_ok());
        }
        let named = |kid: &str| Header { kid: Some(kid.into()), ..Header::new(Algorithm::HS256) };
        assert!(keys().verify(&signed(named("old"), "secret of the old key", &claims()), NOW).is_ok());
        for (kid, secret) in [("new", "secret of the old key"), ("gone", "secret of the new key")] {
            assert_eq!(keys().verify(&signed(named(kid), secret, &claims()), NOW), Err(TokenError::Signature));
        }
    }

    #[test]
    fn each_claim_has_its_verdict() {
        let with = |change: Value| {
            let mut all = claims();
            all.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            hs256(&all).map(|_| ())
        };
        let without = |name: &str| {
            let mut all = claims();
            all.as_object_mut().unwrap().remove(name);
            hs256(&all).map(|_| ())
        };
        assert_eq!(with(json!({ "unknown": [1] })), Ok(()));
        assert_eq!(with(json!({ "aud": ["x", "starling"] })), Ok(()));
        assert_eq!(with(json!({ "aud": "x" })), Err(TokenError::Audience));
        assert_eq!(with(json!({ "exp": 1_800_000_000 })), Err(TokenError::Expired));
        assert_eq!(with(json!({ "nbf": 1_800_000_001 })), Err(TokenError::Early));
        assert_eq!(with(json!({ "nbf": 1_800_000_000 })), Ok(()));
        for bad in [
            json!({ "exp": "soon" }),
            json!({ "exp": -1 }),
            json!({ "swarms": "a" }),
            json!({ "swarms": ["a b"] }),
            json!({ "swarms": vec!["a"; 33] }),
            json!({ "upload": 1 }),
            json!({ "policy": { "turn": "x" } }),
        ] {
            assert_eq!(with(bad.clone()), Err(TokenError::Malformed), "{bad}");
        }
        for name in ["exp", "aud", "swarms"] {
            assert_eq!(without(name), Err(TokenError::Malformed), "{name}");
        }
        assert_eq!(without("sub"), Ok(()));
    }

    #[test]
    fn the_header_does_not_choose_the_algorithm() {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let unsigned = format!("{}.{}.", part(&json!({ "alg": "none" })), part(&claims()));
        assert_eq!(keys().verify(&unsigned, NOW), Err(TokenError::Malformed));
        let hs512 = signed(Header::new(Algorithm::HS512), "secret of the new key", &claims());
        assert_eq!(keys().verify(&hs512, NOW), Err(TokenError::Signature));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,80}") {
            prop_assert_eq!(keys().verify(&text, NOW), Err(TokenError::Malformed));
        }
    }
}
