//! The channel between guardian and runner: a socket that is the runner's standard input.
//!
//! The guardian sends its own standard input through it once, for the command. The runner sends what the guardian has
//! to know, one message a line. For both, the end of the channel is the death of the other.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use rustix::process::Pid;

/// What the runner reports to the guardian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Report {
    /// The command runs in this process group.
    Started(Pid),
    /// The command must be gone after this time unless another deadline follows.
    Deadline(Duration),
    /// The command and its group are gone.
    Ended,
}

impl Report {
    pub(super) fn encode(self) -> String {
        match self {
            Self::Started(group) => format!("started {}\n", group.as_raw_nonzero()),
            Self::Deadline(remaining) => format!("deadline {}\n", remaining.as_millis()),
            Self::Ended => "ended\n".to_owned(),
        }
    }

    pub(super) fn decode(line: &str) -> Option<Self> {
        match line.split_once(' ').unwrap_or((line, "")) {
            ("started", group) => Some(Self::Started(Pid::from_raw(group.parse().ok()?)?)),
            ("deadline", millis) => Some(Self::Deadline(Duration::from_millis(millis.parse().ok()?))),
            ("ended", _) => Some(Self::Ended),
            _ => None,
        }
    }
}

/// Sends this process's standard input.
pub(super) fn send_stdin(to: &UnixStream) -> io::Result<()> {
    let (stdin, mut space) = ([rustix::stdio::stdin()], [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))]);
    let mut rights = SendAncillaryBuffer::new(&mut space);
    rights.push(SendAncillaryMessage::ScmRights(&stdin));
    sendmsg(to, &[IoSlice::new(b"0")], &mut rights, SendFlags::empty())?;
    Ok(())
}

/// Takes over the channel that is this process's standard input, and receives the guardian's standard input from it.
pub(super) fn receive_stdin() -> io::Result<(UnixStream, OwnedFd)> {
    let channel = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let (mut byte, mut space) = ([0], [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))]);
    let mut rights = RecvAncillaryBuffer::new(&mut space);
    recvmsg(&channel, &mut [IoSliceMut::new(&mut byte)], &mut rights, RecvFlags::CMSG_CLOEXEC)?;
    let received = rights.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    let stdin = received.ok_or_else(|| io::Error::other("the guardian sent no standard input"))?;
    Ok((channel, stdin))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_read_as_they_were_written() {
        let group = Pid::from_raw(77).unwrap();
        for report in [Report::Started(group), Report::Deadline(Duration::from_millis(1500)), Report::Ended] {
            assert_eq!(Report::decode(report.encode().trim_end()), Some(report));
        }
        assert_eq!(Report::decode("started 0"), None);
    }
}
