//! Ports of the loopback for real listeners.

use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// A free port below the range from which the kernel takes the ports of outgoing connections: one of those would take a port
/// between this look and the listener's.
pub(crate) fn free_port() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let begin = 20_000 + u16::try_from(std::process::id() % 100).unwrap() * 100;
    loop {
        let address = SocketAddr::from(([127, 0, 0, 1], begin + NEXT.fetch_add(1, Ordering::Relaxed)));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}
