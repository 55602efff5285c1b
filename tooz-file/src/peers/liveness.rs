//! Which processes live. Each locks one byte of the database file as long as it lives; the kernel frees it at its death.
//!
//! - A record lock (`fcntl`) belongs to one process: a forked child neither holds it nor frees it, whatever descriptors
//!   the child inherits or closes. The lock cannot be deleted from outside, as a file or a socket can.
//! - Another process asks the kernel for the owner of the byte. A free byte is a dead process.
//! - The owner's process descriptor (`pidfd`) becomes readable when the process ends, so death is noticed at once. A
//!   process of another PID namespace has none; its byte is checked once a second.
//! - Closing any descriptor of the file frees the locks of the whole process, so the worker locks the byte again once a
//!   second.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc::{F_UNLCK, F_WRLCK, SEEK_SET, flock};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::layout::presence_byte;

/// The lock by which this process proves that it lives.
#[derive(Debug)]
pub(crate) struct Presence {
    database: File,
    me: i64,
}

impl Presence {
    /// Locks the byte of the peer `me`, which is this process.
    pub(crate) fn hold(database: File, me: i64) -> io::Result<Self> {
        let presence = Self { database, me };
        presence.assert()?;
        Ok(presence)
    }

    /// The id of this process in `peers`.
    pub(crate) fn me(&self) -> i64 {
        self.me
    }

    /// Locks the byte again, in case the process has closed another descriptor of the file.
    pub(crate) fn assert(&self) -> io::Result<()> {
        fcntl(&self.database, FcntlArg::F_SETLK(&byte_of(self.me, F_WRLCK)))?;
        Ok(())
    }

    /// Those of the peers that are dead. A peer whose state is unknown counts as alive.
    pub(crate) fn dead_among(&self, peers: &[i64]) -> Vec<i64> {
        let dead = |peer: &i64| *peer != self.me && matches!(self.owner(*peer), Ok(Owner::None));
        peers.iter().copied().filter(dead).collect()
    }

    /// A descriptor that becomes readable when the peer ends, or `None` if there cannot be one.
    pub(crate) fn process_of(&self, peer: i64) -> Option<OwnedFd> {
        let Ok(Owner::Process(pid)) = self.owner(peer) else { return None };
        let process = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::NONBLOCK).ok()?;
        // The process id may have been reused before the descriptor was opened.
        matches!(self.owner(peer), Ok(Owner::Process(again)) if again == pid).then_some(process)
    }

    fn owner(&self, peer: i64) -> io::Result<Owner> {
        let mut lock = byte_of(peer, F_WRLCK);
        fcntl(&self.database, FcntlArg::F_GETLK(&mut lock))?;
        Ok(match lock.l_type {
            free if free == F_UNLCK as i16 => Owner::None,
            _ if lock.l_pid > 0 => Owner::Process(lock.l_pid),
            _ => Owner::Invisible,
        })
    }
}

/// The process that holds a byte.
#[derive(Debug)]
enum Owner {
    None,
    Process(i32),
    /// A process of another PID namespace.
    Invisible,
}

fn byte_of(peer: i64, kind: i32) -> flock {
    flock { l_type: kind as i16, l_whence: SEEK_SET as i16, l_start: presence_byte(peer), l_len: 1, l_pid: 0 }
}
