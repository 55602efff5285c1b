//! Pokes: datagrams that tell another process what to look at again. A lost one only delays.

use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};
use std::{fs, io};

use crate::directory::Directory;
use crate::layout;

/// For how long a poke that did not fit into a full socket is sent again; later the receiver has looked by itself.
const KEEP: Duration = Duration::from_secs(2);

/// What to look at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Poke {
    /// The entry with this seq was admitted. There is nothing left to look at.
    Admitted(i64),
    /// The entry with this seq, which waited, was removed.
    Removed(i64),
    /// The roster with this id: its content changed.
    Roster(i64),
    /// The topic with this id: it has grown.
    Topic(i64),
    /// The evictions: somebody removed an entry of ours.
    Evictions,
    /// The ring of peers: somebody came.
    Ring,
    /// Everything: somebody died, perhaps between a commit and its pokes.
    All,
}

impl Poke {
    pub(crate) const LEN: usize = 9;

    fn encode(self) -> [u8; Self::LEN] {
        let (tag, id) = match self {
            Self::Admitted(seq) => (b't', seq),
            Self::Removed(seq) => (b'x', seq),
            Self::Roster(id) => (b'r', id),
            Self::Topic(id) => (b'm', id),
            Self::Evictions => (b'e', 0),
            Self::Ring => (b'p', 0),
            Self::All => (b'a', 0),
        };
        let mut bytes = [tag; Self::LEN];
        bytes[1..].copy_from_slice(&id.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (tag, id) = bytes.split_first()?;
        let id = i64::from_le_bytes(id.try_into().ok()?);
        match tag {
            b't' => Some(Self::Admitted(id)),
            b'x' => Some(Self::Removed(id)),
            b'r' => Some(Self::Roster(id)),
            b'm' => Some(Self::Topic(id)),
            b'e' => Some(Self::Evictions),
            b'p' => Some(Self::Ring),
            b'a' => Some(Self::All),
            _ => None,
        }
    }
}

/// The way out to the bells of other peers.
#[derive(Debug)]
pub(crate) struct Post {
    sender: UnixDatagram,
    prober: UnixDatagram,
    unsent: Vec<(i64, Poke, Instant)>,
}

impl Post {
    pub(crate) fn new() -> io::Result<Self> {
        let (sender, prober) = (UnixDatagram::unbound()?, UnixDatagram::unbound()?);
        sender.set_nonblocking(true)?;
        Ok(Self { sender, prober, unsent: Vec::new() })
    }

    /// Sends a poke, or keeps it for [`resend`](Self::resend) if the receiver's socket is full.
    pub(crate) fn send(&mut self, directory: &Directory, peer: i64, poke: Poke) {
        if !self.try_send(directory, peer, poke) {
            self.unsent.push((peer, poke, Instant::now()));
        }
    }

    pub(crate) fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    pub(crate) fn resend(&mut self, directory: &Directory) {
        let mut unsent = std::mem::take(&mut self.unsent);
        unsent.retain(|(peer, poke, since)| since.elapsed() < KEEP && !self.try_send(directory, *peer, *poke));
        self.unsent = unsent;
    }

    /// Whether nothing is left to do: the poke was sent, or nobody is there to read it.
    fn try_send(&self, directory: &Directory, peer: i64, poke: Poke) -> bool {
        let sent = self.sender.send_to(&poke.encode(), directory.socket(&layout::bell(peer)));
        !matches!(sent, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Whether a peer is surely dead: nobody has its bell open any more. What cannot be told counts as alive.
    pub(crate) fn is_dead(&self, directory: &Directory, peer: i64) -> bool {
        let bell = directory.socket(&layout::bell(peer));
        match self.prober.connect(&bell) {
            Ok(()) => false,
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                fs::symlink_metadata(&bell).is_ok_and(|found| found.file_type().is_socket())
            }
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pokes_survive_the_wire_and_nonsense_is_dropped() {
        for poke in [
            Poke::Admitted(i64::MAX),
            Poke::Removed(2),
            Poke::Roster(1),
            Poke::Topic(-1),
            Poke::Evictions,
            Poke::Ring,
            Poke::All,
        ] {
            assert_eq!(Poke::decode(&poke.encode()), Some(poke));
        }
        for bytes in [&b""[..], b"t", b"z12345678", b"t123456789"] {
            assert_eq!(Poke::decode(bytes), None);
        }
    }
}
