//! Who is introduced to whom: the strategies that are compared, and what can be taken away from ours.

use clap::ValueEnum;
use starling::domain::{Member, Nat, Place, Score};

/// How lists are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ValueEnum)]
pub enum Strategy {
    /// Anybody who is listed, as trackers do: those too that cannot be reached or do not upload
    Random,
    /// The best scores, the same for everybody
    TopK,
    /// As this server does
    Starling,
    /// What nobody can know: the true chances of pairs, free places and spare uplink at this moment
    Oracle,
}

impl Strategy {
    /// As it is called in tables, and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::TopK => "top-k",
            Self::Starling => "starling",
            Self::Oracle => "oracle",
        }
    }
}

/// What is kept from our selection, by inputs that say nothing: the code is the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Without {
    /// Nothing.
    #[default]
    Nothing,
    /// Places: everybody is as near, and candidates come from everywhere. (Learning of networks goes with it.)
    Locality,
    /// Kinds of NAT, and what was learned: every pair is as likely.
    Nat,
    /// Scores: all are alike.
    Score,
    /// How many links others have.
    Degree,
    /// Who was introduced a moment ago, and how often.
    Reservations,
    /// Who is yet to be tried.
    Explore,
    /// Addresses, and with them the limit per prefix and the need for witnesses in two.
    Prefix,
    /// What came of attempts between kinds of NAT and networks.
    Learning,
    /// Where others are in the content.
    Playhead,
}

impl Without {
    /// Each part once.
    pub const PARTS: [Self; 9] = [
        Self::Locality,
        Self::Nat,
        Self::Score,
        Self::Degree,
        Self::Reservations,
        Self::Explore,
        Self::Prefix,
        Self::Learning,
        Self::Playhead,
    ];

    /// As it is called in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Locality => "locality",
            Self::Nat => "NAT classes",
            Self::Score => "scores",
            Self::Degree => "degrees",
            Self::Reservations => "reservations",
            Self::Explore => "exploring",
            Self::Prefix => "prefix limit",
            Self::Learning => "learning of pairs",
            Self::Playhead => "playheads",
        }
    }

    /// Whether pairs of NATs and networks are learned.
    pub fn learns(self) -> bool {
        !matches!(self, Self::Learning | Self::Nat)
    }

    /// A member, as selection is to see it.
    pub fn hide(self, member: &mut Member, score: &mut Score) {
        match self {
            Self::Locality => member.place = Place::default(),
            Self::Nat => member.nat = Nat::Open,
            Self::Score if *score > Score::ZERO => *score = Score::NEW,
            Self::Degree => member.degree = 0,
            Self::Explore => member.tried = true,
            Self::Prefix => member.address = None,
            Self::Playhead => member.playhead = None,
            _ => {}
        }
    }
}
