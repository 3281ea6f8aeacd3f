//! The draw against its promises and against its exact distribution.
