//! Refuses directories on network file systems, where file locks and sockets do not reach all processes.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use rustix::fs::fstatfs;
use tooz_core::{Error, ErrorKind};

use crate::error::Outcome;

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

/// Fails if a network file system holds the open directory at `path`.
pub(crate) fn refuse_network(handle: &File, path: &Path) -> Outcome<()> {
    // The magic number has 32 bits, and a different signed type on each architecture.
    let magic = fstatfs(handle).map_err(io::Error::from)?.f_type as u32;
    let Some(name) = network_of(magic, || mounted_kind(path)) else { return Ok(()) };
    let reason = format!(
        "the directory is on a network file system ({name}), where file locks and sockets do not reach all processes; \
         choose a local directory, or a server such as redis:// or etcd:// for several hosts"
    );
    Err(Error::new(ErrorKind::Unsupported, reason).with_context("directory", path.display()).into())
}

/// The name of the network file system with this magic number. All FUSE file systems share one; `kind` distinguishes them.
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
    fn network_file_systems_are_distinguished_from_local_ones() {
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
