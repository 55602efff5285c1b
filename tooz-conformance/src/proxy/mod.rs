//! A TCP proxy on loopback that injects the faults of a network: cuts, losses, delays and refused connections.
//!
//! A fault of a [`Proxy`] applies to all its connections, present and future, until [`heal`](Proxy::heal).

mod faults;
mod forward;
mod proxies;
mod tcp_proxy;
#[cfg(test)]
mod tests;
mod traffic;

pub use self::proxies::Proxies;
pub use self::tcp_proxy::Proxy;
pub use self::traffic::{Direction, Traffic};
