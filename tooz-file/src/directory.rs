//! The directory of a URL: created if it is missing, and refused if other users could interfere with it.
//!
//! - Files are opened relative to the open directory and without following links; modes are set on descriptors, never
//!   by path. A user with write permission in the directory therefore cannot redirect a change to a file elsewhere.
//! - A directory of another user is refused unless its group shares it on purpose: group-writable with the set-group-ID
//!   bit (`chmod 2770`). The files of a shared directory get mode 0660, all others 0600.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, Mode, OFlags, Timespec, Timestamps, UTIME_NOW, fchmod, openat, stat, utimensat};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, socket_with};
use rustix::process::geteuid;
use tooz_core::{Error, ErrorKind};

use crate::error::{Fault, Outcome};
use crate::file_system::refuse_network;
use crate::layout;

/// How long the path of a socket may be, with the zero byte at its end.
const SOCKET_PATH: usize = 108;

/// How long the path of the directory may be, so that SQLite can add its file names and stay within 512 bytes.
const DATABASE_PATH: usize = 480;

/// How old the times of a file in use may get. Cleaners of temporary files remove what was unused for days.
const TOUCH_AFTER: Duration = Duration::from_secs(3600);

const GROUP_WRITABLE: u32 = 0o020;
const OTHERS_WRITABLE: u32 = 0o002;
const SET_GROUP_ID: u32 = 0o2000;

/// An open directory.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    database: PathBuf,
    handle: File,
    key: (u64, u64),
    /// The group that shares it, if any.
    group: Option<u32>,
}

impl Directory {
    /// Creates the directory if it is missing, and checks that it can serve.
    pub(crate) fn open(path: &Path) -> Outcome<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        let path = fs::canonicalize(path)?;
        if path.as_os_str().len() > DATABASE_PATH {
            let reason =
                format!("the path is too long for SQLite, which allows {DATABASE_PATH} bytes; use a shorter one");
            return Err(Error::new(ErrorKind::InvalidUrl, reason).with_context("directory", path.display()).into());
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let handle = File::from(rustix::fs::open(&path, flags, Mode::empty()).map_err(io::Error::from)?);
        refuse_network(&handle, &path)?;
        let found = handle.metadata()?;
        let (key, group) = ((found.dev(), found.ino()), sharing_group(&found, &path)?);
        Ok(Self { database: path.join(layout::DATABASE), path, handle, key, group })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn database(&self) -> &Path {
        &self.database
    }

    /// Opens the database file, which is created if it is missing.
    pub(crate) fn open_database(&self) -> Outcome<File> {
        let file = match self.open_file(OFlags::empty()) {
            Err(Errno::NOENT) => match self.open_file(OFlags::CREATE | OFlags::EXCL) {
                Ok(file) => {
                    // The umask may have removed bits of the group, which shares on purpose.
                    fchmod(&file, self.file_mode()).map_err(io::Error::from)?;
                    Ok(file)
                }
                // Another process was faster.
                Err(Errno::EXIST) => self.open_file(OFlags::empty()),
                Err(error) => Err(error),
            },
            opened => opened,
        };
        let file = file.map_err(|error| match error {
            Errno::LOOP => self.refusal("tooz.db is a symbolic link; remove it").into(),
            error => Fault::from(io::Error::from(error)),
        })?;
        for name in layout::DATABASE_FILES {
            match fs::symlink_metadata(self.path.join(name)) {
                Ok(found) => self.check_file(name, &found)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(file)
    }

    /// A datagram socket in the directory, which the users of the directory can send to.
    pub(crate) fn bind_socket(&self, name: &str) -> io::Result<UnixDatagram> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?;
        // Linux creates the file with the mode of the unbound socket, less the umask.
        fchmod(&socket, self.file_mode())?;
        bind(&socket, &SocketAddrUnix::new(self.socket(name))?)?;
        Ok(UnixDatagram::from(socket))
    }

    /// A path that can be the address of a socket, however long that of the directory is.
    pub(crate) fn socket(&self, name: &str) -> PathBuf {
        let direct = self.path.join(name);
        match direct.as_os_str().len() < SOCKET_PATH {
            true => direct,
            false => PathBuf::from(format!("/proc/self/fd/{}/{name}", self.handle.as_raw_fd())),
        }
    }

    /// The device and inode of the directory, by which a process recognises it under another path.
    pub(crate) fn key(&self) -> (u64, u64) {
        self.key
    }

    /// The device and inode of the database file that the path leads to at this moment.
    pub(crate) fn identity(&self) -> io::Result<(u64, u64)> {
        // Every write calls this. The standard library reads more than these two fields, which takes half as long again.
        let found = stat(&self.database)?;
        Ok((found.st_dev, found.st_ino))
    }

    /// Whether the path of the database leads to this open file.
    pub(crate) fn is_database(&self, file: &File) -> bool {
        let found = file.metadata().map(|found| (found.dev(), found.ino()));
        found.is_ok_and(|found| self.identity().is_ok_and(|identity| identity == found))
    }

    /// Whether the socket with this name exists.
    pub(crate) fn has_socket(&self, name: &str) -> bool {
        fs::symlink_metadata(self.path.join(name)).is_ok_and(|found| found.file_type().is_socket())
    }

    /// Removes the socket of a peer that has ended.
    pub(crate) fn remove_socket(&self, peer: i64) {
        // It may be gone, and in a sticky directory only its owner can remove it; a leftover does no harm.
        let _ = fs::remove_file(self.path.join(layout::socket(peer)));
    }

    /// The peers that have a socket in the directory.
    pub(crate) fn peers_with_sockets(&self) -> io::Result<Vec<i64>> {
        let files = fs::read_dir(&self.path)?.filter_map(Result::ok);
        Ok(files.filter_map(|file| file.file_name().to_str().and_then(layout::peer_of_socket)).collect())
    }

    /// Sets the times of the directory, of the database and of the socket `name` to now if they are old.
    pub(crate) fn touch(&self, name: &str) {
        for name in layout::DATABASE_FILES.into_iter().chain([".", name]) {
            let old = fs::symlink_metadata(self.path.join(name)).is_ok_and(|found| is_old(&found));
            let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
            let times = Timestamps { last_access: now, last_modification: now };
            if old && let Err(error) = utimensat(&self.handle, name, &times, AtFlags::SYMLINK_NOFOLLOW) {
                tracing::debug!(%error, name, "failed to update the times of a file in use; a cleaner of temporary files may remove it");
            }
        }
    }

    fn open_file(&self, flags: OFlags) -> Result<File, Errno> {
        let flags = flags | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        openat(&self.handle, layout::DATABASE, flags, self.file_mode()).map(File::from)
    }

    fn file_mode(&self) -> Mode {
        Mode::from_raw_mode(if self.group.is_some() { 0o660 } else { 0o600 })
    }

    fn check_file(&self, name: &str, found: &fs::Metadata) -> Outcome<()> {
        let ours = found.uid() == geteuid().as_raw() || Some(found.gid()) == self.group;
        if !found.is_file() || found.nlink() > 1 {
            return Err(self.refusal(format!("{name} is not a regular file, or has hard links; remove it")).into());
        }
        if !ours || found.mode() & OTHERS_WRITABLE != 0 {
            let owner = format!("{name} belongs to user {} and has mode {:o}", found.uid(), found.mode() & 0o7777);
            return Err(self.refusal(format!("{owner}; {SHARING}")).into());
        }
        Ok(())
    }

    fn refusal(&self, message: impl Into<String>) -> Error {
        Error::new(ErrorKind::AuthFailed, message.into()).with_context("directory", self.path.display())
    }
}

const SHARING: &str = "use a directory of your own, or share one with a group: chgrp GROUP, chmod 2770, umask 007";

/// The group that shares the directory. Fails if other users could interfere.
fn sharing_group(found: &fs::Metadata, path: &Path) -> Outcome<Option<u32>> {
    let shared = found.mode() & (SET_GROUP_ID | GROUP_WRITABLE) == SET_GROUP_ID | GROUP_WRITABLE;
    let refused = match found.uid() == geteuid().as_raw() {
        _ if found.mode() & OTHERS_WRITABLE != 0 => "every user may write to the directory".to_owned(),
        false if !shared => format!("the directory belongs to user {}", found.uid()),
        _ => return Ok(shared.then_some(found.gid())),
    };
    let error = Error::new(ErrorKind::AuthFailed, format!("{refused}; {SHARING}"));
    Err(error.with_context("directory", path.display()).into())
}

fn is_old(found: &fs::Metadata) -> bool {
    let old = |time: io::Result<SystemTime>| time.is_ok_and(|time| time.elapsed().is_ok_and(|age| age > TOUCH_AFTER));
    old(found.accessed()) || old(found.modified())
}
