//! Ports of the loopback for real listeners.

use std::net::{SocketAddr, TcpListener};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};

/// A free port below the range from which the kernel takes the ports of outgoing connections: one of those would take a port
/// between this look and the listener's. Each test process has a block of ports to itself: it keeps listening at the block's
/// first one.
pub(crate) fn free_port() -> SocketAddr {
    static BLOCK: OnceLock<TcpListener> = OnceLock::new();
    static NEXT: AtomicU16 = AtomicU16::new(1);
    let first = BLOCK.get_or_init(|| {
        let blocks = (20_000..30_000_u16).step_by(200);
        blocks.filter_map(|port| TcpListener::bind(("127.0.0.1", port)).ok()).next().expect("a block of ports is free")
    });
    loop {
        let port = first.local_addr().unwrap().port() + NEXT.fetch_add(1, Ordering::Relaxed);
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}
