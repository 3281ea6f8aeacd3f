//! Requests to one slot: plain commands and scripts. Scripts are called by their hash; where a server does not know it
//! (new, or emptied), the same request is repeated with their text.

use std::{sync::LazyLock, time::Duration};

use redis::{Cmd, Pipeline};

use super::{keys::ShardKeys, records};
use crate::{
    domain::{Evidence, Score, Timestamp},
    store::{Judged, LISTED_FOR},
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
    /// Adds what came of attempts.
    LEARN = "learn.lua";
    /// Gives a swarm a policy, if there is room for it.
    STEER = "steer.lua";
    /// Takes policies away that have not changed.
    UNSTEER = "unsteer.lua";
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
        let keys = shard.all().map(str::to_owned).collect();
        Self::script_on(script, shard.tag, keys, now, arguments)
    }

    /// The same with keys that are no shard's.
    pub fn script_on(
        script: &'static Script,
        tag: usize,
        keys: Vec<String>,
        now: Now,
        arguments: Vec<Vec<u8>>,
    ) -> Self {
        let arguments: Vec<_> = now.arguments().map(String::into_bytes).into_iter().chain(arguments).collect();
        let bytes = arguments.iter().map(Vec::len).sum();
        Self { tag, steps: vec![Step::Script { script, keys, arguments }], bytes }
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

/// A number as an argument.
pub fn text(number: u64) -> Vec<u8> {
    number.to_string().into_bytes()
}

/// What `judge.lua` needs of each.
pub fn verdict(judged: &Judged) -> [Vec<u8>; 7] {
    let Judged { member, said, evidence, unlist } = judged;
    // 0 is for none.
    let revision = evidence.revision.wrapping_add(1).max(1);
    [
        member.peer.as_bytes().to_vec(),
        text(said.0),
        text(u64::from(evidence.revision)),
        records::member(member),
        records::evidence(&Evidence { revision, ..evidence.clone() }),
        text(u64::from(evidence.score.fixed())),
        text(u64::from(*unlist)),
    ]
}
