//! Addresses on loopback for what is started here.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::{
        LazyLock,
        atomic::{AtomicU16, Ordering::Relaxed},
    },
};

/// This port on loopback.
pub fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// A port that was free a moment ago, and is not one that the kernel gives to outgoing connections.
pub fn free_port() -> u16 {
    static NEXT: LazyLock<AtomicU16> = LazyLock::new(|| AtomicU16::new(rand::random_range(10_000..30_000)));
    std::iter::repeat_with(|| NEXT.fetch_add(1, Relaxed))
        .find(|port| TcpListener::bind(loopback(*port)).is_ok())
        .expect("one of thousands is free")
}
