//! The directory of a URL: made if missing, refused if a network file system holds it, and the addresses of sockets in it.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access, fstatfs, stat};
use tooz_core::{Error, ErrorKind};

use crate::error::Outcome;
use crate::layout;

/// How long the path of a socket may be, with the zero byte at its end.
const SOCKET_PATH: usize = 108;

/// How long the path of the directory may be, so that SQLite can add its file names and stay within 512 bytes.
const DATABASE_PATH: usize = 480;

/// File systems on which locks or sockets do not work between all the processes that see them.
const NETWORK: [(u32, &str); 14] = [
    (0x6969, "NFS"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB"),
    (0x517b, "SMB"),
    (0x0102_1997, "9P"),
    (0x6573_5546, "FUSE"),
    (0x00c3_6400, "Ceph"),
    (0x5346_414f, "AFS"),
    (0x6b41_4653, "AFS"),
    (0x0bd0_0bd0, "Lustre"),
    (0x1983_0326, "BeeGFS"),
    (0x7461_636f, "OCFS2"),
    (0x0116_1970, "GFS2"),
    (0x2003_0528, "OrangeFS"),
];

/// Kinds of FUSE that are local to this host.
const LOCAL_FUSE: [&str; 4] = ["fuseblk", "fuse.fuse-overlayfs", "fuse.gocryptfs", "fuse.encfs"];

/// An open directory.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    database: PathBuf,
    handle: File,
}

impl Directory {
    /// Makes the directory if it is missing, and checks that it can serve.
    pub(crate) fn open(path: &Path) -> Outcome<Self> {
        fs::create_dir_all(path)?;
        let path = fs::canonicalize(path)?;
        if path.as_os_str().len() > DATABASE_PATH {
            let reason = format!("SQLite opens no database below a path of more than {DATABASE_PATH} bytes");
            return Err(Error::new(ErrorKind::InvalidUrl, reason).with_context("directory", path.display()).into());
        }
        let handle = File::open(&path)?;
        refuse_network(&handle, &path)?;
        access(&path, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK).map_err(io::Error::from)?;
        Ok(Self { database: path.join(layout::DATABASE), path, handle })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn database(&self) -> &Path {
        &self.database
    }

    /// A path that can be the address of a socket, however long that of the directory is.
    pub(crate) fn socket(&self, name: &str) -> PathBuf {
        let direct = self.path.join(name);
        match direct.as_os_str().len() < SOCKET_PATH {
            true => direct,
            false => PathBuf::from(format!("/proc/self/fd/{}/{name}", self.handle.as_raw_fd())),
        }
    }

    /// The identity of the database file that the path leads to at this moment.
    pub(crate) fn identity(&self) -> io::Result<(u64, u64)> {
        // Every `enter` asks, and the standard library would ask for more, which takes half as long again.
        let found = stat(&self.database)?;
        Ok((found.st_dev, found.st_ino))
    }

    /// Removes the sockets of a peer that is gone.
    pub(crate) fn remove_sockets(&self, peer: i64) {
        for name in [layout::bell(peer), layout::pulse(peer)] {
            // It may never have been made, or another process was faster.
            let _ = fs::remove_file(self.path.join(name));
        }
    }

    /// Removes every socket, when no peer is left that could own one.
    pub(crate) fn remove_all_sockets(&self) -> io::Result<()> {
        for file in fs::read_dir(&self.path)? {
            let file = file?;
            if file.file_name().to_str().is_some_and(layout::is_socket) {
                fs::remove_file(file.path())?;
            }
        }
        Ok(())
    }
}

fn refuse_network(handle: &File, path: &Path) -> Outcome<()> {
    // The magic number has 32 bits, and a different signed type on each architecture.
    let magic = fstatfs(handle).map_err(io::Error::from)?.f_type as u32;
    let Some(name) = network_of(magic, || mounted_kind(path)) else { return Ok(()) };
    let reason = format!(
        "the directory is on a network file system ({name}), where file locks and sockets do not reach all processes; \
         choose a local directory, or a server such as redis:// or etcd:// for several hosts"
    );
    Err(Error::new(ErrorKind::Unsupported, reason).with_context("directory", path.display()).into())
}

/// The name of the network file system with this magic number; `kind` tells the many that are FUSE apart.
fn network_of(magic: u32, kind: impl FnOnce() -> Option<String>) -> Option<&'static str> {
    let (_, name) = NETWORK.iter().find(|(known, _)| *known == magic)?;
    let local = *name == "FUSE" && kind().is_some_and(|kind| LOCAL_FUSE.contains(&kind.as_str()));
    (!local).then_some(*name)
}

/// The type of the mount that holds `path`, such as `ext4` or `fuse.sshfs`.
fn mounted_kind(path: &Path) -> Option<String> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    // Fields: id, parent, device, root, mount point, options, optional fields, "-", type, source, ...
    let mounted = mounts.lines().filter_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        let point = mount.split(' ').nth(4)?;
        path.starts_with(point).then(|| (point.len(), kind.split(' ').next()))
    });
    mounted.max_by_key(|(depth, _)| *depth)?.1.map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_of_a_mount_is_that_of_the_longest_prefix() {
        assert_eq!(mounted_kind(Path::new("/proc/self")).as_deref(), Some("proc"));
        assert!(mounted_kind(Path::new("/")).is_some());
    }

    #[test]
    fn network_file_systems_are_told_from_local_ones() {
        let kind = |kind: &str| Some(kind.to_owned());
        assert_eq!(network_of(0x6969, || None), Some("NFS"));
        assert_eq!(network_of(0xff53_4d42, || None), Some("CIFS"));
        assert_eq!(network_of(0x6573_5546, || kind("fuse.sshfs")), Some("FUSE"));
        assert_eq!(network_of(0x6573_5546, || kind("fuse.fuse-overlayfs")), None);
        for local in [0xef53, 0x0102_1994, 0x5846_5342, 0x9123_683e, 0x794c_7630] {
            assert_eq!(network_of(local, || None), None, "{local:x}");
        }
    }
}
