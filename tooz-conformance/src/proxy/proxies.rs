//! The proxies of one backend, with the methods of one proxy.

use std::io;
use std::time::Duration;

use super::tcp_proxy::Proxy;
use super::traffic::{Direction, Traffic};

/// The proxies of one backend, one for each address.
#[derive(Debug)]
pub struct Proxies(Vec<Proxy>);

impl Proxies {
    pub(crate) fn new(proxies: Vec<Proxy>) -> Self {
        Self(proxies)
    }

    /// The proxies, in the order of the addresses.
    pub fn each(&self) -> &[Proxy] {
        &self.0
    }

    /// Calls [`Proxy::cut`] of each proxy.
    pub fn cut(&self) {
        self.0.iter().for_each(Proxy::cut);
    }

    /// Calls [`Proxy::refuse`] of each proxy.
    pub fn refuse(&self) {
        self.0.iter().for_each(Proxy::refuse);
    }

    /// Calls [`Proxy::black_hole`] of each proxy.
    pub fn black_hole(&self, direction: Direction) {
        self.0.iter().for_each(|proxy| proxy.black_hole(direction));
    }

    /// Calls [`Proxy::drop_replies`] of each proxy.
    pub fn drop_replies(&self) {
        self.0.iter().for_each(Proxy::drop_replies);
    }

    /// Calls [`Proxy::drop_notifications`] of each proxy.
    pub fn drop_notifications(&self) {
        self.0.iter().for_each(Proxy::drop_notifications);
    }

    /// Calls [`Proxy::hold`] of each proxy.
    pub fn hold(&self, direction: Direction) {
        self.0.iter().for_each(|proxy| proxy.hold(direction));
    }

    /// Calls [`Proxy::delay`] of each proxy.
    pub fn delay(&self, delay: Duration) {
        self.0.iter().for_each(|proxy| proxy.delay(delay));
    }

    /// Calls [`Proxy::cut_after`] of each proxy. Each has its own count.
    pub fn cut_after(&self, chunks: u64) {
        self.0.iter().for_each(|proxy| proxy.cut_after(chunks));
    }

    /// Calls [`Proxy::heal`] of each proxy.
    ///
    /// # Errors
    /// Another process took a port while connections were refused.
    pub async fn heal(&self) -> io::Result<()> {
        for proxy in &self.0 {
            proxy.heal().await?;
        }
        Ok(())
    }

    /// What has passed through all of them.
    pub fn traffic(&self) -> Traffic {
        let all = self.0.iter().map(Proxy::traffic);
        all.fold(Traffic::default(), |sum, one| Traffic {
            bytes_to_server: sum.bytes_to_server + one.bytes_to_server,
            bytes_to_client: sum.bytes_to_client + one.bytes_to_client,
            chunks_to_server: sum.chunks_to_server + one.chunks_to_server,
            chunks_to_client: sum.chunks_to_client + one.chunks_to_client,
            connections: sum.connections + one.connections,
        })
    }
}
