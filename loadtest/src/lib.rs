//! Load and faults for Starling, and the check that nothing acknowledged was lost.
