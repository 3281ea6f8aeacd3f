//! What a swarm's viewers have reported, in shard 0's slot.

use super::{BEHIND, Command, Now, RedisStore, Request, list, number, text, unexpected};
use crate::{
    domain::{SwarmId, Totals},
    store::StoreError,
};

const FIELDS: [&str; 6] = ["p2p", "http", "up", "rebuffers", "connects", "connect_ms"];

impl RedisStore {
    pub(super) async fn add_totals(&self, swarm: &SwarmId, new: Totals, now: Now) -> Result<(), StoreError> {
        let keys = self.keys.shard(swarm, 0);
        let key = keys.totals.as_deref().expect("shard 0 has them");
        let Totals { p2p_bytes, http_bytes, up_bytes, rebuffers, connects, connect_ms } = new;
        let mut request = Request::to(keys.tag);
        for (field, new) in FIELDS.into_iter().zip([p2p_bytes, http_bytes, up_bytes, rebuffers, connects, connect_ms]) {
            if new > 0 {
                request = request.command("HINCRBY", key, &[field.as_bytes(), &text(new)]);
            }
        }
        let life = text(super::millis(now.remember).max(1));
        let request = request.command("PEXPIRE", key, &[&life]);
        self.connection.send(Command::Account, &request, BEHIND).await.map(drop)
    }

    pub(super) async fn read_totals(&self, swarm: &SwarmId) -> Result<Totals, StoreError> {
        let keys = self.keys.shard(swarm, 0);
        let key = keys.totals.as_deref().expect("shard 0 has them");
        let request = Request::to(keys.tag).command("HMGET", key, &FIELDS.map(str::as_bytes));
        let answers = self.connection.send(Command::Totals, &request, BEHIND).await?;
        let read = || {
            let sum = |value| u64::try_from(number(value).unwrap_or_default()).unwrap_or_default();
            let sums: Vec<_> = list(answers.first()?)?.iter().map(sum).collect();
            let [p2p_bytes, http_bytes, up_bytes, rebuffers, connects, connect_ms] = sums.try_into().ok()?;
            Some(Totals { p2p_bytes, http_bytes, up_bytes, rebuffers, connects, connect_ms })
        };
        read().ok_or_else(|| unexpected(Command::Totals))
    }
}
