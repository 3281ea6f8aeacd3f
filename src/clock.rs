//! What time it is. Tests set it by hand.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use crate::domain::Timestamp;

/// The wall clock, since tickets and tokens are read on other nodes.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The machine's.
    System,
    /// One that stands still until a test moves it.
    Manual(Arc<AtomicU64>),
}

impl Clock {
    /// A clock that stands at `now`.
    pub fn manual(now: Timestamp) -> Self {
        Self::Manual(Arc::new(AtomicU64::new(now.0)))
    }

    /// Now.
    pub fn now(&self) -> Timestamp {
        match self {
            // A clock before 1970 says 1970: everything has expired, nothing panics.
            Self::System => Timestamp(0) + SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default(),
            Self::Manual(now) => Timestamp(now.load(Relaxed)),
        }
    }

    /// Moves a manual clock forward; the system's goes by itself.
    pub fn advance(&self, by: Duration) {
        if let Self::Manual(now) = self {
            let _ = now.fetch_update(Relaxed, Relaxed, |now| Some((Timestamp(now) + by).0));
        }
    }
}
