//! Error codes, each with its one meaning.

/// What a call or a single signal is refused with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// Cannot be parsed, a field missing or out of range.
    Malformed = 400,
    /// The session's token has expired.
    Unauthorized = 401,
    /// Swarm not allowed; ticket wrong, expired, not for this pair or not for this kind of signal.
    Forbidden = 403,
    /// Unknown method.
    UnknownMethod = 404,
    /// The peer is known to be gone.
    Gone = 410,
    /// Larger than its limit.
    TooLarge = 413,
    /// A description or candidate that breaks the grammar.
    Unprocessable = 422,
    /// We cannot do it now.
    Unavailable = 503,
}

impl Code {
    /// Whether the same call can succeed later.
    pub const fn temporary(self) -> bool {
        matches!(self, Self::Unavailable)
    }

    /// The number on the wire.
    pub const fn number(self) -> u32 {
        self as u32
    }
}

/// What a connection is refused or ended with. From 4500 on the client does not come back by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// We cannot let it in now: come back.
    Overloaded = 4001,
    /// Connect data cannot be parsed.
    Malformed = 4500,
    /// Token invalid or expired.
    Token = 4501,
    /// Protocol version unknown.
    Version = 4502,
    /// Swarm of `first` not allowed.
    Swarm = 4503,
    /// The same session was resumed elsewhere.
    Resumed = 4504,
}

impl Refusal {
    /// The number on the wire.
    pub const fn number(self) -> u32 {
        self as u32
    }
}
