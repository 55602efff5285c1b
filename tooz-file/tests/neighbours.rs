//! Other programs and users of the host: cleaners of temporary files, forged datagrams, links, modes, shared directories.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::fs::{self, Permissions};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use common::*;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};
use rustix::process::Signal;
use tooz_core::ErrorKind;
use tooz_core::driver::{IfBlocked, NewEntry, Session, Standing};

#[tokio::test]
#[ignore = "a child process of the tests below"]
async fn holds_a_lock() {
    let session = open(&directory()).await;
    let standing = session.enter(&lock("l"), exclusive()).await.unwrap();
    if let Standing::Waiting { ticket, .. } = standing {
        println!("waiting {}", ticket.seq);
        session.await_turn(&lock("l"), &ticket).await.unwrap();
    }
    println!("holding");
    read_line();
}

async fn is_free(session: &dyn Session) -> bool {
    let entry = NewEntry { if_blocked: IfBlocked::Withdraw, ..exclusive() };
    !matches!(session.enter(&lock("l"), entry).await.unwrap(), Standing::Withdrawn { .. })
}

fn sockets(directory: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(directory).unwrap().map(|file| file.unwrap());
    files.filter(|file| file.file_type().unwrap().is_socket()).map(|file| file.path()).collect()
}

/// Waits until `condition` holds, for five seconds.
async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < Duration::from_secs(5), "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn removed_sockets_do_not_free_the_lock_of_a_live_process() {
    let directory = tempfile::tempdir().unwrap();
    let mut holder = Holder::start("holds_a_lock", directory.path());
    holder.expect("holding");
    let removed = sockets(directory.path());
    assert_eq!(removed.len(), 1);
    fs::remove_file(&removed[0]).unwrap();
    let session = open(directory.path()).await;
    assert!(!is_free(&*session).await);
    eventually("the socket was not bound again", || removed[0].exists()).await;
    let ticket = waiting(session.enter(&lock("l"), exclusive()).await.unwrap());
    sockets(directory.path()).iter().for_each(|socket| fs::remove_file(socket).unwrap());
    holder.tell("end");
    let roster = lock("l");
    let turn = session.await_turn(&roster, &ticket);
    tokio::time::timeout(Duration::from_secs(5), turn).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_forged_datagram_grants_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let session = open(directory.path()).await;
    let held = admitted(session.enter(&lock("l"), exclusive()).await.unwrap());
    let mut waiter = Holder::start("holds_a_lock", directory.path());
    let seq: u64 = waiter.expect("waiting").parse().unwrap();
    let forged: Vec<u8> = [b't'].into_iter().chain(seq.to_le_bytes()).collect();
    for _ in 0..20 {
        for socket in sockets(directory.path()) {
            UnixDatagram::unbound().unwrap().send_to(&forged, socket).unwrap();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let released = std::thread::spawn(move || {
        waiter.expect("holding");
        Instant::now()
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    let left = Instant::now();
    assert!(session.leave(&lock("l"), &held).await.unwrap());
    assert!(released.join().unwrap() >= left, "the waiter held the lock before it was released");
}

#[tokio::test]
async fn files_in_use_never_look_unused() {
    let directory = tempfile::tempdir().unwrap();
    let session = open(directory.path()).await;
    admitted(session.enter(&lock("l"), exclusive()).await.unwrap());
    let files: Vec<PathBuf> = fs::read_dir(directory.path()).unwrap().map(|file| file.unwrap().path()).collect();
    assert_eq!(files.len(), 4, "{files:?}");
    let old = SystemTime::now() - Duration::from_secs(30 * 86_400);
    let seconds = old.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let old = Timespec { tv_sec: seconds as _, tv_nsec: 0 };
    for file in files.iter().map(PathBuf::as_path).chain([directory.path()]) {
        let times = Timestamps { last_access: old, last_modification: old };
        utimensat(CWD, file, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
    }
    let is_fresh = |file: &Path| {
        let found = fs::symlink_metadata(file).unwrap();
        let fresh = |time: SystemTime| time.elapsed().is_ok_and(|age| age < Duration::from_secs(3600));
        fresh(found.modified().unwrap()) && fresh(found.accessed().unwrap())
    };
    eventually("a file still looks unused", || files.iter().all(|file| is_fresh(file)) && is_fresh(directory.path()))
        .await;
}

#[tokio::test]
async fn files_are_private_under_any_umask() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("new");
    let program = std::env::current_exe().unwrap();
    let mut holder = Holder::start_in_shell("umask 000; exec", &program, "holds_a_lock", &directory);
    holder.expect("holding");
    let mode = |path: &Path| fs::symlink_metadata(path).unwrap().mode() & 0o7777;
    assert_eq!(mode(&directory), 0o700);
    for file in fs::read_dir(&directory).unwrap() {
        let file = file.unwrap().path();
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

#[tokio::test]
async fn a_link_in_place_of_a_file_is_not_followed() {
    let parent = tempfile::tempdir().unwrap();
    let victim = parent.path().join("victim");
    fs::write(&victim, "").unwrap();
    fs::set_permissions(&victim, Permissions::from_mode(0o640)).unwrap();
    for hard in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join("tooz.db");
        if hard { fs::hard_link(&victim, database) } else { symlink(&victim, database) }.unwrap();
        let error = try_open(directory.path(), TIMEOUT).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AuthFailed, "{error}");
        assert!(error.to_string().contains("tooz.db"), "{error}");
    }
    assert_eq!(fs::read(&victim).unwrap(), b"");
}

#[test]
fn a_neighbour_that_swaps_sockets_for_links_changes_no_mode() {
    let parent = tempfile::tempdir().unwrap();
    let victim = parent.path().join("victim");
    fs::write(&victim, "").unwrap();
    fs::set_permissions(&victim, Permissions::from_mode(0o600)).unwrap();
    let directory = parent.path().join("shared");
    fs::create_dir(&directory).unwrap();
    fs::set_permissions(&directory, Permissions::from_mode(0o2770)).unwrap();
    let done = AtomicBool::new(false);
    let opened = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut swapped = 0;
            while !done.load(Ordering::SeqCst) {
                for socket in sockets(&directory) {
                    let away = directory.join(format!("x{swapped}"));
                    if fs::rename(&socket, away).is_ok() && symlink(&victim, &socket).is_ok() {
                        swapped += 1;
                    }
                }
            }
            assert!(swapped > 0);
        });
        let opened = (0..20).try_for_each(|_| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async { try_open(&directory, TIMEOUT).await?.close().await })
        });
        done.store(true, Ordering::SeqCst);
        opened
    });
    opened.unwrap();
    assert_eq!(fs::metadata(&victim).unwrap().mode() & 0o7777, 0o600);
}

/// Whether this test runs as a user that can switch to others; prints a message if not.
fn can_act_for_others() -> bool {
    let root = rustix::process::geteuid().is_root() && Command::new("setpriv").arg("--version").output().is_ok();
    if !root {
        println!("SKIPPED: only root with setpriv can act for other users");
    }
    root
}

/// The user and group without rights, as Debian numbers them.
const OTHER: u32 = 65534;

async fn refusal(directory: &Path) -> String {
    let error = try_open(directory, TIMEOUT).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AuthFailed, "{error}");
    error.to_string()
}

#[tokio::test]
async fn a_directory_or_database_of_another_user_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), Permissions::from_mode(0o777)).unwrap();
    assert!(refusal(directory.path()).await.contains("every user"));
    if !can_act_for_others() {
        return;
    }
    fs::set_permissions(directory.path(), Permissions::from_mode(0o770)).unwrap();
    chown(directory.path(), Some(OTHER), None).unwrap();
    assert!(refusal(directory.path()).await.contains("user 65534"));
    chown(directory.path(), Some(0), None).unwrap();
    open(directory.path()).await.close().await.unwrap();
    chown(directory.path().join("tooz.db"), Some(OTHER), Some(OTHER)).unwrap();
    assert!(refusal(directory.path()).await.contains("user 65534"));
}

/// A directory that root and another user share as documented, and a copy of this program that the other user can execute.
fn shared_directory(parent: &Path, mode: u32) -> (PathBuf, PathBuf) {
    fs::set_permissions(parent, Permissions::from_mode(0o755)).unwrap();
    let (directory, program) = (parent.join("shared"), parent.join("program"));
    fs::create_dir(&directory).unwrap();
    chown(&directory, None, Some(OTHER)).unwrap();
    fs::set_permissions(&directory, Permissions::from_mode(mode)).unwrap();
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    (directory, program)
}

#[test]
fn two_users_share_a_directory_as_documented() {
    if !can_act_for_others() {
        return;
    }
    let root = "umask 007; exec";
    let other = "umask 007; exec setpriv --reuid 65534 --regid 65534 --clear-groups";
    for (mode, users) in
        [(0o2770, [root, other]), (0o2770, [other, root]), (0o3770, [root, other]), (0o3770, [other, root])]
    {
        println!("mode {mode:o}, first {}", users[0]);
        let parent = tempfile::tempdir().unwrap();
        let (directory, program) = shared_directory(parent.path(), mode);
        let start = |user| Holder::start_in_shell(user, &program, "holds_a_lock", &directory);
        let mut first = start(users[0]);
        first.expect("holding");
        let mut second = start(users[1]);
        second.expect("waiting");
        first.signal(Signal::KILL);
        second.expect("holding");
        let mut third = start(users[0]);
        third.expect("waiting");
        second.tell("end");
        third.expect("holding");
        third.signal(Signal::KILL);
        // The files of processes that were killed do not keep the other user out.
        start(users[1]).expect("holding");
    }
}
