//! Notifications: datagrams that tell another process what to read again.
//!
//! They carry no state. The receiver reads the database, so a forged datagram grants nothing and a lost one only delays.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use crate::directory::Directory;
use crate::layout;

/// For how long a notification that did not fit into a full socket is sent again. Later the receiver has read everything.
const KEEP: Duration = Duration::from_secs(2);

/// What to read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notification {
    /// The waiting entry with this seq: it was admitted or removed.
    Turn(i64),
    /// The roster or topic with this id: its content changed.
    Object(i64),
    /// The roster or topic with this id: it has come into use.
    Name(i64),
    /// The evictions: another process removed an entry of this one.
    Evictions,
    /// The peers: a process joined.
    Peers,
    /// Everything: a process died, perhaps between a commit and its notifications.
    All,
}

impl Notification {
    pub(crate) const LEN: usize = 9;

    /// The name under which tasks of the receiver wait for it.
    pub(crate) fn name(self) -> String {
        format!("{self:?}")
    }

    fn encode(self) -> [u8; Self::LEN] {
        let (tag, id) = match self {
            Self::Turn(seq) => (b't', seq),
            Self::Object(id) => (b'o', id),
            Self::Name(id) => (b'n', id),
            Self::Evictions => (b'e', 0),
            Self::Peers => (b'p', 0),
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
            b't' => Some(Self::Turn(id)),
            b'o' => Some(Self::Object(id)),
            b'n' => Some(Self::Name(id)),
            b'e' => Some(Self::Evictions),
            b'p' => Some(Self::Peers),
            b'a' => Some(Self::All),
            _ => None,
        }
    }
}

/// Sends notifications to the sockets of other peers.
#[derive(Debug)]
pub(crate) struct Notifier {
    sender: UnixDatagram,
    unsent: Vec<(i64, Notification, Instant)>,
}

impl Notifier {
    pub(crate) fn new() -> io::Result<Self> {
        let sender = UnixDatagram::unbound()?;
        sender.set_nonblocking(true)?;
        Ok(Self { sender, unsent: Vec::new() })
    }

    /// Sends a notification, or keeps it for [`resend`](Self::resend) if the receiver's socket is full.
    pub(crate) fn send(&mut self, directory: &Directory, peer: i64, notification: Notification) {
        if !self.try_send(directory, peer, notification) {
            self.unsent.push((peer, notification, Instant::now()));
        }
    }

    pub(crate) fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    pub(crate) fn resend(&mut self, directory: &Directory) {
        let mut unsent = std::mem::take(&mut self.unsent);
        unsent.retain(|(peer, notification, since)| {
            since.elapsed() < KEEP && !self.try_send(directory, *peer, *notification)
        });
        self.unsent = unsent;
    }

    /// Whether nothing is left to do: the notification was sent, or there is no socket to send it to.
    fn try_send(&self, directory: &Directory, peer: i64, notification: Notification) -> bool {
        let sent = self.sender.send_to(&notification.encode(), directory.socket(&layout::socket(peer)));
        !matches!(sent, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_datagram_is_read_or_dropped(bytes in prop::collection::vec(any::<u8>(), 0..12)) {
            if let Some(notification) = Notification::decode(&bytes) {
                prop_assert_eq!(Notification::decode(&notification.encode()), Some(notification));
            }
        }

        #[test]
        fn any_file_name_is_a_socket_of_one_peer_or_of_none(name in "p-[0-9a-fA-F]{0,20}\\.sock|.{0,30}") {
            if let Some(peer) = layout::peer_of_socket(&name) {
                prop_assert_eq!(layout::socket(peer), name);
            }
        }
    }

    #[test]
    fn notifications_survive_the_wire_and_other_datagrams_are_dropped() {
        for notification in [
            Notification::Turn(i64::MAX),
            Notification::Object(-1),
            Notification::Evictions,
            Notification::Peers,
            Notification::All,
        ] {
            assert_eq!(Notification::decode(&notification.encode()), Some(notification));
        }
        for bytes in [&b""[..], b"t", b"z12345678", b"t123456789"] {
            assert_eq!(Notification::decode(bytes), None);
        }
    }
}
