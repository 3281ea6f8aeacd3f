//! What came of attempts between kinds of NAT and between networks, counted by the hour for all nodes together.

use std::{collections::HashMap, time::Duration};

use redis::Value;

use super::{BEHIND, Command, Now, RedisStore, Request, answers::pairs, bytes, number, scripts, text, unexpected};
use crate::{
    domain::{Nat, Outcomes, Pair, Timestamp},
    store::{MOST_NETWORKS, OUTCOMES_WEIGH, StoreError, hour},
};

/// Lifetime of an hour's counts: a little longer than anybody reads them.
const KEPT: Duration = Duration::from_hours(4);
/// Pairs that one script adds to at most.
const MOST: usize = 500;

impl RedisStore {
    pub(super) async fn add_outcomes(&self, counted: &[(Pair, Outcomes)], now: Timestamp) -> Result<(), StoreError> {
        let (keys, tag) = self.keys.outcomes(hour(now));
        for some in counted.chunks(MOST) {
            let arguments = some.iter().flat_map(|(pair, outcomes)| {
                let (key, field) = match pair {
                    Pair::Classes(one, other) => ("1", format!("{},{}", one.name(), other.name())),
                    Pair::Networks(one, other) => ("2", format!("{one},{other}")),
                };
                [key.into(), field.into_bytes(), hundredths(outcomes.opened), hundredths(outcomes.failed)]
            });
            let arguments = std::iter::once(text(MOST_NETWORKS as u64)).chain(arguments).collect();
            let now = Now { now, remember: KEPT };
            let request = Request::script_on(&scripts::LEARN, tag, keys.to_vec(), now, arguments);
            self.connection.send(Command::Learn, &request, BEHIND).await?;
        }
        Ok(())
    }

    pub(super) async fn read_outcomes(&self, now: Timestamp) -> Result<Vec<(Pair, Outcomes)>, StoreError> {
        let (_, tag) = self.keys.outcomes(0);
        let mut request = Request::to(tag);
        for age in 0..OUTCOMES_WEIGH.len() as u64 {
            for key in self.keys.outcomes(hour(now).saturating_sub(age)).0 {
                request = request.command("HGETALL", &key, &[]);
            }
        }
        let answers = self.connection.send(Command::Learned, &request, BEHIND).await?;
        let mut sum = HashMap::<Pair, Outcomes>::new();
        for (hour, weight) in answers.chunks(2).zip(OUTCOMES_WEIGH) {
            for counts in hour {
                for (field, count) in pairs(counts).ok_or_else(|| unexpected(Command::Learned))? {
                    if let Some((pair, outcomes)) = read(field, count) {
                        let sum = sum.entry(pair).or_default();
                        *sum = sum.plus(outcomes.times(weight));
                    }
                }
            }
        }
        Ok(sum.into_iter().collect())
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of attempts, 0 or more")]
fn hundredths(count: f32) -> Vec<u8> {
    text((f64::from(count) * 100.0).round() as u64)
}

/// A field and its count; `None` for what is not ours.
fn read(field: &Value, count: &Value) -> Option<(Pair, Outcomes)> {
    let mut parts = std::str::from_utf8(bytes(field)?).ok()?.split(',');
    let (one, other, which) = (parts.next()?, parts.next()?, parts.next()?);
    let pair = match (Nat::named(one), Nat::named(other)) {
        (Some(one), Some(other)) => Pair::classes(one, other),
        _ => Pair::networks(one.parse().ok()?, other.parse().ok()?),
    };
    #[expect(clippy::cast_precision_loss, reason = "a count of which a few digits matter")]
    let count = number(count)?.max(0) as f32 / 100.0;
    match which {
        "o" => Some((pair, Outcomes { opened: count, failed: 0.0 })),
        "f" => Some((pair, Outcomes { opened: 0.0, failed: count })),
        _ => None,
    }
}
