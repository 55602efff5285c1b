//! The directions of a connection, and what has passed through it.

/// The direction in which bytes travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Direction {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
    /// Both ways.
    Both,
}

/// What has passed through a proxy, without the bytes that it discarded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Traffic {
    /// Bytes from clients to the server.
    pub bytes_to_server: u64,
    /// Bytes from the server to clients.
    pub bytes_to_client: u64,
    /// Reads from clients that were forwarded. One may hold several pipelined requests.
    pub chunks_to_server: u64,
    /// Reads from the server that were forwarded.
    pub chunks_to_client: u64,
    /// Connections that were accepted.
    pub connections: u64,
}
