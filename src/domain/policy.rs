//! What steers a client: intervals, how many links it wants, whether it may upload. The same for everybody unless a
//! token says otherwise.

use serde::{Deserialize, Serialize};

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

/// What a token changes in the policy; what it leaves out stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields of Policy")]
pub struct PolicyOverrides {
    pub report_interval_s: Option<u32>,
    pub idle_interval_s: Option<u32>,
    pub want: Option<u8>,
    pub degree_target: Option<u8>,
    pub degree_min: Option<u8>,
    pub degree_max: Option<u8>,
    pub gather_ms: Option<u32>,
    pub turn: Option<Turn>,
    pub upload: Option<bool>,
}

impl Policy {
    /// This policy with what `overrides` changes, each value brought into the range in which a client works.
    #[must_use]
    pub fn with(mut self, overrides: &PolicyOverrides) -> Self {
        let o = overrides;
        self.report_interval_s = o.report_interval_s.unwrap_or(self.report_interval_s).clamp(5, 600);
        // Above 40 s a peer would be unlisted between two signs of life.
        self.idle_interval_s = o.idle_interval_s.unwrap_or(self.idle_interval_s).clamp(5, 40);
        self.want = o.want.unwrap_or(self.want).min(16);
        self.degree_max = o.degree_max.unwrap_or(self.degree_max).min(64);
        self.degree_target = o.degree_target.unwrap_or(self.degree_target).min(self.degree_max);
        self.degree_min = o.degree_min.unwrap_or(self.degree_min).min(self.degree_target);
        self.gather_ms = o.gather_ms.unwrap_or(self.gather_ms).min(5_000);
        self.turn = o.turn.unwrap_or(self.turn);
        self.upload = o.upload.unwrap_or(self.upload);
        self
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
}
