//! Directories that are missing, read-only, full, damaged, foreign, too new, too deep, busy or emptied.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use common::*;
use rusqlite::Connection;
use tooz_core::driver::{Loss, Offset, Session};
use tooz_core::{ErrorKind, Name, Result};

async fn error_of(directory: &Path) -> tooz_core::Error {
    match try_open(directory, TIMEOUT).await {
        Ok(_) => panic!("{} could be opened", directory.display()),
        Err(error) => error,
    }
}

async fn use_lock(session: &dyn Session, name: &str) -> Result<u64> {
    let ticket = admitted(session.enter(&lock(name), exclusive()).await?);
    assert!(session.leave(&lock(name), &ticket).await?);
    Ok(ticket.seq.0)
}

#[tokio::test]
async fn a_missing_directory_is_made() {
    let parent = tempfile::tempdir().unwrap();
    let session = open(&parent.path().join("a/b/c")).await;
    use_lock(&*session, "l").await.unwrap();
}

#[tokio::test]
async fn a_path_longer_than_a_socket_allows_works() {
    let parent = tempfile::tempdir().unwrap();
    let deep: PathBuf = std::iter::repeat_n("a_directory_with_a_rather_long_name", 12).collect();
    let deep = parent.path().join(deep);
    let mut holder = Holder::start("holds_a_lock", &deep);
    holder.expect("holding");
    let session = open(&deep).await;
    let ticket = waiting(session.enter(&lock("l"), exclusive()).await.unwrap());
    let killed = Instant::now();
    holder.signal(rustix::process::Signal::KILL);
    session.await_turn(&lock("l"), &ticket).await.unwrap();
    assert!(killed.elapsed() < Duration::from_millis(100), "{:?}", killed.elapsed());
}

#[tokio::test]
async fn a_path_longer_than_the_database_allows_is_an_error() {
    let parent = tempfile::tempdir().unwrap();
    let deep: PathBuf = std::iter::repeat_n("a_directory_with_a_rather_long_name", 15).collect();
    let error = error_of(&parent.path().join(deep)).await;
    assert_eq!(error.kind(), ErrorKind::InvalidUrl, "{error}");
}

#[tokio::test]
#[ignore = "a child process of the test above"]
async fn holds_a_lock() {
    let session = open(&directory()).await;
    admitted(session.enter(&lock("l"), exclusive()).await.unwrap());
    println!("holding");
    read_line();
}

#[tokio::test]
async fn a_file_in_place_of_the_directory_is_an_error() {
    let parent = tempfile::tempdir().unwrap();
    let file = parent.path().join("file");
    fs::write(&file, "precious").unwrap();
    assert_eq!(error_of(&file).await.kind(), ErrorKind::InvalidUrl);
    assert_eq!(error_of(&file.join("below")).await.kind(), ErrorKind::InvalidUrl);
    assert_eq!(fs::read(&file).unwrap(), b"precious");
}

#[tokio::test]
async fn a_read_only_directory_is_an_error() {
    let parent = tempfile::tempdir().unwrap();
    let mounted = Mount::new(parent.path(), "size=1m,ro");
    let directory = match &mounted {
        Some(mounted) => mounted.0.clone(),
        // Without the right to mount, permissions hold, as they do not for root.
        None => {
            fs::set_permissions(parent.path(), fs::Permissions::from_mode(0o500)).unwrap();
            parent.path().to_owned()
        }
    };
    let error = error_of(&directory).await;
    assert_eq!(error.kind(), ErrorKind::AuthFailed, "{error}");
    assert!(error.to_string().contains(directory.to_str().unwrap()), "{error}");
}

#[tokio::test]
async fn a_full_disk_is_an_error_and_nothing_is_lost() {
    let parent = tempfile::tempdir().unwrap();
    match Mount::new(parent.path(), "size=1m") {
        Some(mounted) => {
            let error = fill_and_recover(&mounted.0, || mounted.grow()).await;
            assert!(error.to_string().contains("full"), "{error}");
        }
        // Without the right to mount, a limit on the size of files serves instead; it needs a process of its own.
        None => {
            assert_eq!(Holder::start_with_small_files("fills_the_disk", parent.path()).expect("failed"), "Unavailable")
        }
    }
}

#[tokio::test]
#[ignore = "a child process of the test above"]
async fn fills_the_disk() {
    let directory = directory();
    let filling = fill_and_recover(&directory, || {
        let unlimited = rustix::process::Rlimit { current: None, maximum: None };
        rustix::process::setrlimit(rustix::process::Resource::Fsize, unlimited).unwrap();
    });
    println!("failed {:?}", filling.await.kind());
    read_line();
}

/// Publishes until the disk is full, then checks that nothing was lost and that all works once there is room again.
async fn fill_and_recover(directory: &Path, make_room: impl FnOnce()) -> tooz_core::Error {
    let session = open(directory).await;
    let (topic, topics) = (Name::new("t").unwrap(), session.topics().unwrap());
    topics.publish(&topic, b"first", 1000).await.unwrap();
    let held = admitted(session.enter(&lock("held"), exclusive()).await.unwrap());
    let error = loop {
        if let Err(error) = topics.publish(&topic, &[7; 20_000], 1000).await {
            break error;
        }
    };
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    make_room();
    assert_eq!(topics.read(&topic, Offset(0), 1).await.unwrap()[0].payload, b"first");
    assert!(session.leave(&lock("held"), &held).await.unwrap());
    use_lock(&*session, "l").await.unwrap();
    session.close().await.unwrap();
    error
}

#[tokio::test]
async fn a_damaged_database_is_an_error_and_stays_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tooz.db");
    fs::write(&file, vec![b'#'; 8192]).unwrap();
    let error = error_of(directory.path()).await;
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert_eq!(fs::read(&file).unwrap(), vec![b'#'; 8192]);
}

#[tokio::test]
async fn a_damaged_page_is_an_error_in_use() {
    let directory = tempfile::tempdir().unwrap();
    open(directory.path()).await.close().await.unwrap();
    settle(directory.path()).await;
    let file = directory.path().join("tooz.db");
    let mut bytes = fs::read(&file).unwrap();
    bytes[4096..].fill(0xee);
    fs::write(&file, &bytes).unwrap();
    let error = error_of(directory.path()).await;
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
}

#[tokio::test]
async fn a_database_of_something_else_is_an_error_and_stays_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tooz.db");
    Connection::open(&file)
        .unwrap()
        .execute_batch("CREATE TABLE accounts (id); INSERT INTO accounts VALUES (1)")
        .unwrap();
    let before = fs::read(&file).unwrap();
    let error = error_of(directory.path()).await;
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert_eq!(fs::read(&file).unwrap(), before);
}

#[tokio::test]
async fn a_database_from_a_newer_version_is_an_error_and_stays_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    open(directory.path()).await.close().await.unwrap();
    settle(directory.path()).await;
    let file = directory.path().join("tooz.db");
    Connection::open(&file).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let before = fs::read(&file).unwrap();
    let error = error_of(directory.path()).await;
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert!(error.to_string().contains("version 99"), "{error}");
    assert_eq!(fs::read(&file).unwrap(), before);
}

#[tokio::test]
async fn a_database_that_another_process_keeps_busy_is_unavailable_within_the_timeout() {
    let directory = tempfile::tempdir().unwrap();
    let session = try_open(directory.path(), Duration::from_millis(300)).await.unwrap();
    let other = Connection::open(directory.path().join("tooz.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let started = Instant::now();
    let error = session.enter(&lock("l"), exclusive()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!((200..400).contains(&started.elapsed().as_millis()), "{:?}", started.elapsed());
    other.execute_batch("ROLLBACK").unwrap();
    use_lock(&*session, "l").await.unwrap();
}

#[tokio::test]
async fn a_session_that_ends_while_the_database_is_busy_frees_its_entries_later() {
    let directory = tempfile::tempdir().unwrap();
    let session = try_open(directory.path(), Duration::from_millis(300)).await.unwrap();
    let waiter = open(directory.path()).await;
    admitted(session.enter(&lock("l"), exclusive()).await.unwrap());
    let ticket = waiting(waiter.enter(&lock("l"), exclusive()).await.unwrap());
    let other = Connection::open(directory.path().join("tooz.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!(session.close().await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(session.renew().await.unwrap_err().kind(), ErrorKind::SessionLost);
    other.execute_batch("ROLLBACK").unwrap();
    waiter.await_turn(&lock("l"), &ticket).await.unwrap();
}

#[tokio::test]
async fn an_emptied_directory_ends_the_sessions_and_tokens_still_rise() {
    let directory = tempfile::tempdir().unwrap();
    let session = open(directory.path()).await;
    let token = use_lock(&*session, "l").await.unwrap();
    fs::remove_dir_all(directory.path()).unwrap();
    let loss = tokio::time::timeout(Duration::from_secs(3), session.lost()).await.unwrap();
    assert!(matches!(loss, Loss::Session(error) if error.is_session_lost()));
    assert_eq!(session.enter(&lock("l"), exclusive()).await.unwrap_err().kind(), ErrorKind::SessionLost);
    let session = open(directory.path()).await;
    assert!(use_lock(&*session, "l").await.unwrap() > token);
}

#[tokio::test]
async fn a_replaced_database_admits_no_entry() {
    let directory = tempfile::tempdir().unwrap();
    let session = open(directory.path()).await;
    use_lock(&*session, "l").await.unwrap();
    let (database, other) = (directory.path().join("tooz.db"), directory.path().join("other"));
    fs::copy(&database, &other).unwrap();
    fs::rename(&other, &database).unwrap();
    assert_eq!(session.enter(&lock("l"), exclusive()).await.unwrap_err().kind(), ErrorKind::SessionLost);
}

#[tokio::test]
async fn two_processes_can_create_the_directory_in_the_same_instant() {
    for _ in 0..10 {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("new");
        let mut children: Vec<_> = (0..4).map(|_| Holder::start("takes_turns", &directory)).collect();
        children.iter_mut().for_each(|child| {
            child.expect("ready");
        });
        children.iter_mut().for_each(|child| child.tell("go"));
        let mut tokens: Vec<u64> = children.iter_mut().map(|child| child.expect("token").parse().unwrap()).collect();
        tokens.sort_unstable();
        tokens.dedup();
        assert_eq!(tokens.len(), 4);
    }
}

#[tokio::test]
#[ignore = "a child process of the test above"]
async fn takes_turns() {
    println!("ready");
    read_line();
    let session = open(&directory()).await;
    let standing = session.enter(&lock("l"), exclusive()).await.unwrap();
    let ticket = match standing {
        tooz_core::driver::Standing::Admitted(ticket) => ticket,
        _ => {
            let ticket = waiting(standing);
            session.await_turn(&lock("l"), &ticket).await.unwrap();
            ticket
        }
    };
    println!("token {}", ticket.seq);
    session.leave(&lock("l"), &ticket).await.unwrap();
    read_line();
}

#[tokio::test]
async fn nothing_is_left_behind_by_processes_that_end() {
    let directory = tempfile::tempdir().unwrap();
    for _ in 0..3 {
        let mut holder = Holder::start("holds_a_lock", directory.path());
        holder.expect("holding");
    }
    let session = open(directory.path()).await;
    use_lock(&*session, "l").await.unwrap();
    session.close().await.unwrap();
    drop(session);
    settle(directory.path()).await;
    let files: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(files, ["tooz.db"]);
    let db = Connection::open(directory.path().join("tooz.db")).unwrap();
    for table in ["peers", "objects", "entries", "watchers", "evictions", "changes"] {
        let count: i64 = db.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap();
        assert_eq!(count, 0, "{table}");
    }
}

/// Waits until the worker thread of a directory without sessions has ended.
async fn settle(directory: &Path) {
    let started = Instant::now();
    while fs::read_dir(directory).unwrap().count() > 1 {
        assert!(started.elapsed() < Duration::from_secs(5), "the sockets are still there");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A small file system in memory, for users that may mount one.
struct Mount(PathBuf);

impl Mount {
    fn new(parent: &Path, options: &str) -> Option<Self> {
        let point = parent.join("mounted");
        fs::create_dir(&point).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("mode=700,{options}"), "tmpfs"])
            .arg(&point)
            .output();
        mounted.is_ok_and(|output| output.status.success()).then(|| Self(point))
    }

    fn grow(&self) {
        assert!(Command::new("mount").args(["-o", "remount,size=8m"]).arg(&self.0).status().unwrap().success());
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
