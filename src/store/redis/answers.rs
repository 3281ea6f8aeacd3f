//! Reads answers. What cannot be read is `None`.

use redis::Value;

use super::records::{self, Stored};
use crate::domain::{Member, PeerId, Ranked, Score, Timestamp};

/// A whole number in an answer, however it is written.
pub fn number(value: &Value) -> Option<i64> {
    match value {
        Value::Int(number) => Some(*number),
        #[expect(clippy::cast_possible_truncation, reason = "scores and times, which are whole and below 2^53")]
        Value::Double(number) => Some(*number as i64),
        Value::BulkString(text) => std::str::from_utf8(text).ok()?.parse().ok(),
        _ => None,
    }
}

/// Bytes in an answer.
pub fn bytes(value: &Value) -> Option<&[u8]> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        _ => None,
    }
}

/// A list in an answer.
pub fn list(value: &Value) -> Option<&[Value]> {
    match value {
        Value::Array(values) => Some(values),
        _ => None,
    }
}

/// Keys and values in an answer, whether it is a map or a list of pairs.
pub fn pairs(value: &Value) -> Option<Vec<(&Value, &Value)>> {
    match value {
        Value::Map(pairs) => Some(pairs.iter().map(|(key, value)| (key, value)).collect()),
        Value::Array(values) => {
            fn pair(value: &Value) -> Option<(&Value, &Value)> {
                let [key, value] = list(value)? else { return None };
                Some((key, value))
            }
            values.iter().map(pair).collect()
        }
        _ => None,
    }
}

/// Of so many, who was found: all but those in the list.
pub fn all_but(count: usize, missing: &Value) -> Option<Vec<Option<()>>> {
    let mut found = vec![Some(()); count];
    for place in list(missing)? {
        *found.get_mut(usize::try_from(number(place)?).ok()?)? = None;
    }
    Some(found)
}

/// A member as a list needs it.
pub fn ranked(member: Member, score: &Value, seen: &Value) -> Ranked {
    let score = number(score).and_then(|score| u16::try_from(score).ok()).map_or(Score::ZERO, Score::from_fixed);
    Ranked { member, score, seen: Timestamp(number(seen).unwrap_or_default().unsigned_abs()) }
}

/// A peer's name.
pub fn peer(value: &Value) -> Option<PeerId> {
    Some(PeerId::from_bytes(bytes(value)?.try_into().ok()?))
}

/// Members in a flat list of peer, score, seen and record. One whose record we do not know is left out.
pub fn candidates(flat: &[Value]) -> Option<Vec<Ranked>> {
    let (each, rest) = flat.as_chunks();
    let member = |[name, score, seen, record]: &[Value; 4]| match records::read_member(peer(name)?, bytes(record)?)? {
        Stored::Member(member) => Some(ranked(member, score, seen)),
        Stored::Left(_) => None,
    };
    rest.is_empty().then(|| each.iter().filter_map(member).collect())
}
