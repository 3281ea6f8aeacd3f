//! The rules as plain values. Imports nothing of ours, sees no clock, socket or lock: callers pass the time and the
//! randomness.

pub mod costs;
pub mod evidence;
pub mod ids;
pub mod introductions;
pub mod mac;
pub mod member;
pub mod nat;
pub mod offload;
pub mod place;
pub mod policy;
pub mod reach;
pub mod resume;
pub mod score;
pub mod sdp;
pub mod selection;
pub mod signal;
pub mod ticket;
pub mod time;
pub mod token;

pub use costs::CostMap;
pub use evidence::{Evidence, Receipt};
pub use ids::{PeerId, SwarmId, SwarmPattern};
pub use member::{Member, Ranked};
pub use nat::{End, Nat, Outcomes, Pair, Pairs};
pub use offload::{Account, Counters, Totals};
pub use place::{Pid, Place, Prefix, Whereabouts};
pub use policy::{Policy, PolicyOverrides, TaggedPolicy, Turn};
pub use reach::{Reach, Tally};
pub use score::Score;
pub use signal::{Body, Kind, SessionId, Signal};
pub use time::Timestamp;
