//! A connection reaches the end of its token. Whatever else were answered here would drop the client.

use super::Signaling;
use crate::protocol::Session;

/// What becomes of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refreshed {
    /// The token has ended: the client comes back with a new one.
    Expired,
    /// Not yet; ask again at this second of the epoch.
    Until(u64),
}

impl Signaling {
    /// Says when the session ends. Needs neither store nor gateway: refresh is answered whatever is down.
    pub fn refresh(&self, session: Option<&Session>) -> Refreshed {
        let now = self.clock.now();
        session
            .filter(|session| !session.expired(now))
            .map_or(Refreshed::Expired, |session| Refreshed::Until(session.exp))
    }
}
