//! What an operator changes in the policy of one swarm.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::{
    Json,
    body::Bytes,
    extract::{Path, Query, State},
    http::StatusCode,
};
use serde::Deserialize;
use serde_json::json;

use super::{
    Admin,
    swarms::{Answer, refuse},
};
use crate::{
    domain::{Policy, PolicyOverrides, SwarmId, TaggedPolicy, Timestamp},
    store::{MOST_STEERED, StoreError},
};

/// How long a change lasts where nothing is said.
const USUALLY: Duration = Duration::from_hours(7 * 24);
/// And at most: what somebody has forgotten ends by itself.
const AT_MOST: Duration = Duration::from_hours(90 * 24);
/// Largest body, in bytes.
const MAX_BODY: usize = 4096;

/// `?for=7d`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lasting {
    #[serde(rename = "for")]
    time: Option<String>,
}

impl Lasting {
    fn time(&self) -> Option<Duration> {
        let time = self.time.as_deref().map_or(Some(USUALLY), |time| humantime::parse_duration(time).ok())?;
        (Duration::from_secs(1)..=AT_MOST).contains(&time).then_some(time)
    }
}

/// `GET /swarms/{id}/policy`: what is changed, until when, and what comes of it for a token that changes nothing.
pub async fn get(State(admin): State<Arc<Admin>>, Path(id): Path<String>) -> Answer {
    match SwarmId::parse(&id) {
        Ok(swarm) => admin.policy(&swarm),
        Err(bad) => refuse(StatusCode::BAD_REQUEST, &bad.to_string()),
    }
}

/// `PUT /swarms/{id}/policy?for=7d`: the body is what changes; what was changed before is forgotten.
pub async fn put(
    State(admin): State<Arc<Admin>>,
    Path(id): Path<String>,
    lasting: Result<Query<Lasting>, axum::extract::rejection::QueryRejection>,
    body: Bytes,
) -> Answer {
    let Some(time) = lasting.ok().and_then(|Query(lasting)| lasting.time()) else {
        return refuse(StatusCode::BAD_REQUEST, "the only parameter is `for`, from 1s to 90d, such as ?for=12h");
    };
    if body.len() > MAX_BODY {
        return refuse(StatusCode::PAYLOAD_TOO_LARGE, &format!("a policy has at most {MAX_BODY} bytes"));
    }
    match PolicyOverrides::parse_strictly(&body) {
        Ok(overrides) if overrides.is_empty() => {
            refuse(StatusCode::BAD_REQUEST, "nothing would change: say what, or DELETE what is changed")
        }
        Ok(overrides) => admin.steer(&id, Some((overrides, admin.clock.now() + time))).await,
        Err(error) => refuse(StatusCode::BAD_REQUEST, &error),
    }
}

/// `DELETE /swarms/{id}/policy`: nothing is changed any more.
pub async fn delete(State(admin): State<Arc<Admin>>, Path(id): Path<String>) -> Answer {
    admin.steer(&id, None).await
}

impl Admin {
    async fn steer(&self, id: &str, policy: Option<(PolicyOverrides, Timestamp)>) -> Answer {
        let swarm = match SwarmId::parse(id) {
            Ok(swarm) => swarm,
            Err(bad) => return refuse(StatusCode::BAD_REQUEST, &bad.to_string()),
        };
        match self.signaling.ranking.steer(&swarm, policy).await {
            Ok(()) => self.policy(&swarm),
            Err(error) => refuse(StatusCode::SERVICE_UNAVAILABLE, &complaint(&error)),
        }
    }

    fn policy(&self, swarm: &SwarmId) -> Answer {
        let steered = self.signaling.ranking.steered(swarm);
        let effective =
            steered.as_ref().map_or_else(Policy::default, |(overrides, _)| Policy::default().steered(overrides));
        let until = |until: &Timestamp| {
            humantime::format_rfc3339_seconds(SystemTime::UNIX_EPOCH + Duration::from_secs(until.seconds())).to_string()
        };
        let answer = json!({
            "swarm": swarm,
            "changes": steered.as_ref().map(|(overrides, _)| overrides),
            "until": steered.as_ref().map(|(_, end)| until(end)),
            "policy": TaggedPolicy::from(effective),
        });
        (StatusCode::OK, Json(answer))
    }
}

/// Why a swarm's policy was not changed, and what to do about it.
fn complaint(error: &StoreError) -> String {
    match error {
        StoreError::Full => format!(
            "{MOST_STEERED} swarms have a policy of their own, and there is no room for another: DELETE one that is not \
             needed, or wait until one ends"
        ),
        StoreError::Away(_) => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_there_are_as_many_policies_as_there_can_be_an_operator_is_told_what_to_do() {
        let said = complaint(&StoreError::Full);
        assert!(said.contains("10000 swarms have a policy") && said.contains("DELETE one"), "{said}");
    }
}
