//! `refresh`: a connection reaches the end of its token.

use super::{Proxy, session};
use crate::signaling::Refreshed;

impl Proxy {
    /// Answers a refresh call. A session that cannot be read has expired, and the client comes back with a new one.
    pub fn refresh(&self, meta: &[u8]) -> Refreshed {
        self.metrics.refreshed.increment(1);
        self.signaling.refresh(session(meta).as_ref())
    }
}
