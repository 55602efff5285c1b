//! Loopback ports for servers and proxies that must restart on the same port.

use std::io;
use std::net::{Ipv4Addr, TcpListener};

use rand::Rng;

/// The kernel's ephemeral range is avoided: an outgoing connection could take a port of it while its server is down.
const RANGE: std::ops::Range<u16> = 11_000..32_000;

/// `count` different ports that are free at the moment.
///
/// Another process may take one before it is used, so a caller whose server does not start tries other ports.
pub(crate) fn free_ports(count: usize) -> io::Result<Vec<u16>> {
    let mut held: Vec<(u16, TcpListener)> = Vec::with_capacity(count);
    for _ in 0..count * 100 {
        if held.len() == count {
            break;
        }
        let port = rand::rng().random_range(RANGE);
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            held.push((port, listener));
        }
    }
    if held.len() < count {
        return Err(io::Error::other(format!("failed to find {count} free ports on 127.0.0.1 in {RANGE:?}")));
    }
    Ok(held.into_iter().map(|(port, _)| port).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_free_and_different() {
        let mut ports = free_ports(20).unwrap();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 20);
        assert!(TcpListener::bind((Ipv4Addr::LOCALHOST, ports[0])).is_ok());
    }
}
