//! Requests to one slot: plain commands and scripts. Scripts are called by their hash; where a server does not know it
//! (new, or emptied), the same request is repeated with their text.

use std::{sync::LazyLock, time::Duration};

use redis::{Cmd, Pipeline, Value};

use super::keys::ShardKeys;
use crate::{
    domain::{Score, Timestamp},
    store::LISTED_FOR,
};

/// A script, with what every script begins with.
pub struct Script {
    text: &'static str,
    hash: LazyLock<String>,
}

macro_rules! scripts {
    ($($(#[doc = $doc:literal])* $name:ident = $file:literal;)*) => {$(
        $(#[doc = $doc])*
        pub static $name: Script = {
            const TEXT: &str = concat!(include_str!("common.lua"), include_str!($file));
            Script { text: TEXT, hash: LazyLock::new(|| redis::Script::new(TEXT).get_hash().to_owned()) }
        };
    )*};
}

scripts! {
    /// Writes a member, then finds others.
    JOIN = "join.lua";
    /// Notes a sign of life, then finds others.
    FIND = "find.lua";
    /// Finds others.
    LOOK = "look.lua";
    /// Notes signs of life.
    TOUCH = "touch.lua";
    /// Ends a membership.
    LEAVE = "leave.lua";
    /// Puts members back.
    RESTORE = "restore.lua";
    /// Stores judgements.
    JUDGE = "judge.lua";
    /// Unlists and forgets.
    SWEEP = "sweep.lua";
    /// Takes away who was moved.
    TAKE = "take.lua";
    /// Sets the number of shards.
    GROW = "grow.lua";
    /// Reads some of a large shard.
    PAGE = "page.lua";
}

/// What all scripts are told.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// The caller's time.
    pub now: Timestamp,
    /// Lifetime of keys.
    pub remember: Duration,
}

impl Now {
    /// A sign of life counts since then.
    pub fn alive(self) -> Timestamp {
        self.now - LISTED_FOR
    }

    fn arguments(self) -> [String; 5] {
        [
            self.now.0.to_string(),
            self.alive().0.to_string(),
            self.remember.as_millis().max(1).to_string(),
            // Larger than any version that a shard which was lost can have had.
            (self.now.0.min(1 << 43) << 20).to_string(),
            Score::NEW.fixed().to_string(),
        ]
    }
}

enum Step {
    Plain(Cmd),
    Script { script: &'static Script, keys: Vec<String>, arguments: Vec<Vec<u8>> },
}

/// What is sent to one slot at once. Commands are run in order, but others may come between.
pub struct Request {
    /// The number of the tag that all its keys have.
    pub tag: usize,
    steps: Vec<Step>,
    bytes: usize,
}

impl Request {
    /// An empty one.
    pub fn to(tag: usize) -> Self {
        Self { tag, steps: Vec::new(), bytes: 0 }
    }

    /// Adds a command.
    pub fn plain(mut self, command: Cmd) -> Self {
        self.bytes += command
            .args_iter()
            .map(|argument| match argument {
                redis::Arg::Simple(bytes) => bytes.len(),
                _ => 0,
            })
            .sum::<usize>();
        self.steps.push(Step::Plain(command));
        self
    }

    /// Adds a command with one key.
    pub fn command(self, name: &str, key: &str, arguments: &[&[u8]]) -> Self {
        let mut command = redis::cmd(name);
        command.arg(key);
        for argument in arguments {
            command.arg(*argument);
        }
        self.plain(command)
    }

    /// A request that is one script.
    pub fn script(script: &'static Script, shard: &ShardKeys, now: Now, arguments: Vec<Vec<u8>>) -> Self {
        let arguments: Vec<_> = now.arguments().map(String::into_bytes).into_iter().chain(arguments).collect();
        let bytes = arguments.iter().map(Vec::len).sum();
        let keys = shard.all().map(str::to_owned).collect();
        Self { tag: shard.tag, steps: vec![Step::Script { script, keys, arguments }], bytes }
    }

    /// How many commands.
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// How many bytes of arguments.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The commands; scripts `by_text` or by hash.
    pub fn pipeline(&self, by_text: bool) -> Pipeline {
        let mut pipeline = Pipeline::with_capacity(self.steps.len());
        for step in &self.steps {
            match step {
                Step::Plain(command) => pipeline.add_command(command.clone()),
                Step::Script { script, keys, arguments } => {
                    let mut command = redis::cmd(if by_text { "EVAL" } else { "EVALSHA" });
                    command.arg(if by_text { script.text } else { script.hash.as_str() });
                    command.arg(keys.len()).arg(keys).arg(arguments);
                    pipeline.add_command(command)
                }
            };
        }
        pipeline
    }
}

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
