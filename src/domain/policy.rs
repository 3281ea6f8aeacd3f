//! What steers a client: intervals, how many links it wants, whether it may upload. The same for everybody unless a
//! token or an operator says otherwise.

use std::hash::Hasher;

use fnv::FnvHasher;
use serde::{Deserialize, Serialize};

/// An interval between reports is stretched up to this, so that what is known of peers stays fresh; ...
const MAX_REPORT_INTERVAL_S: u32 = 30;
/// ... and no interval is longer than this between two signs of life: a peer would be unlisted.
const MAX_IDLE_INTERVAL_S: u32 = 40;

/// When a client may relay its links through TURN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Turn {
    /// Once a direct attempt has failed.
    OnFailure,
    /// Never.
    Never,
    /// Always: no direct links at all.
    Only,
}

/// The client policy of a connect reply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Policy {
    /// Seconds between reports while a peer exchanges segments.
    pub report_interval_s: u32,
    /// Seconds between signs of life while it does not; below the 45 s after which a silent peer is unlisted.
    pub idle_interval_s: u32,
    /// Peers to ask for at once.
    pub want: u8,
    /// Links a client tries to have.
    pub degree_target: u8,
    /// Links below which it hurries to find more.
    pub degree_min: u8,
    /// Links beyond which it refuses offers.
    pub degree_max: u8,
    /// Milliseconds to gather candidates before a description is sent (half trickle).
    pub gather_ms: u32,
    /// Use of TURN.
    pub turn: Turn,
    /// Whether the client may upload.
    pub upload: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            report_interval_s: 10,
            idle_interval_s: 30,
            want: 8,
            degree_target: 8,
            degree_min: 4,
            degree_max: 12,
            gather_ms: 150,
            turn: Turn::OnFailure,
            upload: true,
        }
    }
}

/// A policy as a client gets it, with the tag by which it says which one it has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TaggedPolicy {
    #[serde(flatten)]
    policy: Policy,
    tag: String,
}

impl From<Policy> for TaggedPolicy {
    fn from(policy: Policy) -> Self {
        Self { tag: policy.tag(), policy }
    }
}

/// What a token, or an operator for a swarm, changes in the policy; what it leaves out stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields of Policy")]
pub struct PolicyOverrides {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report_interval_s: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_interval_s: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub want: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub degree_target: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub degree_min: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub degree_max: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gather_ms: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub turn: Option<Turn>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upload: Option<bool>,
}

impl Policy {
    /// This policy with what `overrides` changes, each value brought into the range in which a client works.
    #[must_use]
    pub fn with(mut self, overrides: &PolicyOverrides) -> Self {
        let o = overrides;
        self.report_interval_s = o.report_interval_s.unwrap_or(self.report_interval_s).clamp(5, 40);
        self.idle_interval_s = o.idle_interval_s.unwrap_or(self.idle_interval_s).clamp(5, MAX_IDLE_INTERVAL_S);
        self.want = o.want.unwrap_or(self.want).min(16);
        self.degree_max = o.degree_max.unwrap_or(self.degree_max).min(64);
        self.degree_target = o.degree_target.unwrap_or(self.degree_target).min(self.degree_max);
        self.degree_min = o.degree_min.unwrap_or(self.degree_min).min(self.degree_target);
        self.gather_ms = o.gather_ms.unwrap_or(self.gather_ms).min(5_000);
        self.turn = o.turn.unwrap_or(self.turn);
        self.upload = o.upload.unwrap_or(self.upload);
        self
    }

    /// This policy as an operator steers a swarm: the operator's word wins, but nobody uploads whom somebody forbids it.
    #[must_use]
    pub fn steered(self, overrides: &PolicyOverrides) -> Self {
        let upload = self.upload;
        let policy = self.with(overrides);
        Self { upload: upload && policy.upload, ..policy }
    }

    /// This policy with longer intervals: `factor` is 1 to 3. Never shorter ones.
    #[must_use]
    pub fn stretched(mut self, factor: u32) -> Self {
        let stretch = |interval: u32, most: u32| interval.saturating_mul(factor).min(most).max(interval);
        self.report_interval_s = stretch(self.report_interval_s, MAX_REPORT_INTERVAL_S);
        self.idle_interval_s = stretch(self.idle_interval_s, MAX_IDLE_INTERVAL_S);
        self
    }

    /// A short text that is the same for the same values, on every node.
    pub fn tag(&self) -> String {
        let mut hash = FnvHasher::default();
        hash.write(&serde_json::to_vec(self).expect("a policy is JSON"));
        let hash = hash.finish();
        format!("{:08x}", (hash >> 32 ^ hash) & 0xffff_ffff)
    }
}

impl PolicyOverrides {
    /// Reads what an operator says. Other than in a token, whatever would be overlooked or brought into range is refused.
    pub fn parse_strictly(json: &[u8]) -> Result<Self, String> {
        let fields: serde_json::Map<_, _> = serde_json::from_slice(json)
            .map_err(|error| format!("this is no JSON object of what is to change: {error}"))?;
        let whole = serde_json::to_value(Policy::default()).expect("a policy is JSON");
        let known = whole.as_object().expect("with fields");
        if let Some(field) = fields.keys().find(|field| !known.contains_key(*field)) {
            let names: Vec<_> = known.keys().map(String::as_str).collect();
            return Err(format!("there is no {field:?} in a policy: there is {}", names.join(", ")));
        }
        for (field, value) in &fields {
            let alone = serde_json::Map::from_iter([(field.clone(), value.clone())]);
            serde_json::from_value::<Self>(alone.into()).map_err(|error| format!("{field}: {error}"))?;
        }
        let overrides: Self = serde_json::from_value(fields.clone().into()).map_err(|error| error.to_string())?;
        let policy = serde_json::to_value(Policy::default().with(&overrides)).expect("a policy is JSON");
        match fields.iter().find(|(field, value)| !value.is_null() && policy[*field] != **value) {
            None => Ok(overrides),
            Some((field, value)) => Err(format!("{field}: {value} is out of range here, {} would do", policy[field])),
        }
    }

    /// Whether nothing is changed.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overrides_change_what_they_name_within_range() {
        let overrides =
            PolicyOverrides { want: Some(200), degree_max: Some(3), idle_interval_s: Some(900), ..Default::default() };
        let policy = Policy::default().with(&overrides);
        assert_eq!(
            policy,
            Policy {
                want: 16,
                degree_max: 3,
                degree_target: 3,
                degree_min: 3,
                idle_interval_s: 40,
                ..Policy::default()
            }
        );
        assert_eq!(Policy::default().with(&PolicyOverrides::default()), Policy::default());
    }

    #[test]
    fn an_operators_word_wins_but_lets_nobody_upload_who_may_not() {
        let token = PolicyOverrides { want: Some(3), upload: Some(false), ..Default::default() };
        let operator = PolicyOverrides { want: Some(5), upload: Some(true), ..Default::default() };
        let policy = Policy::default().with(&token).steered(&operator);
        assert_eq!((policy.want, policy.upload), (5, false));
        let off = PolicyOverrides { upload: Some(false), ..Default::default() };
        assert!(!Policy::default().steered(&off).upload && Policy::default().steered(&operator).upload);
    }

    #[test]
    fn intervals_are_stretched_within_bounds_and_never_shortened() {
        let policy =
            |report_interval_s, idle_interval_s| Policy { report_interval_s, idle_interval_s, ..Policy::default() };
        for (before, factor, after) in [
            (policy(10, 30), 1, policy(10, 30)),
            (policy(10, 30), 2, policy(20, 40)),
            (policy(10, 10), 3, policy(30, 30)),
            (policy(25, 30), 3, policy(30, 40)),
            (policy(40, 40), 3, policy(40, 40)),
        ] {
            assert_eq!(before.stretched(factor), after);
        }
    }

    #[test]
    fn every_value_changes_the_tag_and_the_tag_is_the_same_everywhere() {
        assert_eq!(Policy::default().tag(), "5adfd483");
        let mut tags = vec![Policy::default().tag()];
        for change in [
            r#"{"report_interval_s":11}"#,
            r#"{"idle_interval_s":31}"#,
            r#"{"want":9}"#,
            r#"{"degree_target":9}"#,
            r#"{"degree_min":5}"#,
            r#"{"degree_max":13}"#,
            r#"{"gather_ms":151}"#,
            r#"{"turn":"never"}"#,
            r#"{"upload":false}"#,
        ] {
            tags.push(Policy::default().with(&PolicyOverrides::parse_strictly(change.as_bytes()).unwrap()).tag());
        }
        tags.sort_unstable();
        tags.dedup();
        assert_eq!(tags.len(), 10, "{tags:?}");
        let told = serde_json::to_value(TaggedPolicy::from(Policy::default())).unwrap();
        assert_eq!((&told["tag"], &told["want"]), (&Policy::default().tag().into(), &8.into()));
    }

    #[test]
    fn what_an_operator_says_wrong_is_named() {
        for (json, expected) in [
            ("", "no JSON object"),
            ("[]", "no JSON object"),
            (r#"{"wnat":1}"#, "no \"wnat\" in a policy: there is degree_max, "),
            (r#"{"want":17}"#, "want: 17 is out of range here, 16 would do"),
            (r#"{"want":-1}"#, "want: invalid value"),
            (r#"{"want":"8"}"#, "want: invalid type"),
            (r#"{"turn":"sometimes"}"#, "turn: unknown variant"),
            (r#"{"idle_interval_s":60}"#, "idle_interval_s: 60 is out of range here, 40 would do"),
            (r#"{"degree_target":20}"#, "degree_target: 20 is out of range here, 12 would do"),
        ] {
            let complaint = PolicyOverrides::parse_strictly(json.as_bytes()).expect_err(json);
            assert!(complaint.contains(expected), "{expected} not in: {complaint}");
        }
        let good = PolicyOverrides::parse_strictly(br#"{"degree_target":20,"degree_max":20,"want":null}"#).unwrap();
        assert_eq!((good.degree_target, good.want), (Some(20), None));
    }
}
