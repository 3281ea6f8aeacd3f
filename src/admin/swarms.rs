//! One swarm as an operator sees it. No addresses.
