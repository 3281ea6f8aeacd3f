//! `publish`: a client publishes one signal to somebody's inbox. The gateway publishes what we make of it.

use std::time::Instant;

use super::{Proxy, ProxyError};
use crate::{
    protocol::{MAX_REQUEST, owner},
    signaling::{Caller, Publication},
};

impl Proxy {
    /// Answers a publish call.
    pub fn publish(&self, caller: &Caller, channel: &str, data: &[u8]) -> Result<Publication, ProxyError> {
        let started = Instant::now();
        let answer = self.try_publish(caller, channel, data);
        self.metrics.called("publish", started.elapsed(), answer.as_ref().err().map(ProxyError::code));
        answer
    }

    fn try_publish(&self, caller: &Caller, channel: &str, data: &[u8]) -> Result<Publication, ProxyError> {
        if data.len() > MAX_REQUEST {
            return Err(ProxyError::TooLarge(MAX_REQUEST));
        }
        let to = owner(channel).ok_or(ProxyError::NoInbox)?;
        Ok(self.signaling.publish(caller, to, data)?)
    }
}
