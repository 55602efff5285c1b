//! Processes that fork: what they have open belongs to the parent, and a child connects by itself.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::time::{Duration, Instant};

use common::*;
use fork::{Fork, fork, waitpid};
use rustix::process::Signal;
use tokio::runtime::Runtime;
use tooz_core::driver::{IfBlocked, NewEntry, Session, Standing};

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Runs `child` in a forked process, and returns its process id.
fn fork_and(child: impl FnOnce()) -> i32 {
    match fork().unwrap() {
        Fork::Parent(pid) => pid,
        Fork::Child => {
            child();
            std::process::exit(0);
        }
    }
}

/// Tries to acquire the lock, and says whether that was granted.
async fn try_lock(session: &dyn Session) -> &'static str {
    match session.enter(&lock("l"), NewEntry { if_blocked: IfBlocked::Withdraw, ..exclusive() }).await {
        Ok(Standing::Admitted(_)) => "granted",
        Ok(Standing::Withdrawn { .. }) => "refused",
        other => panic!("this was not expected: {other:?}"),
    }
}

#[test]
#[ignore = "a child process of the tests below"]
fn forks_two_workers() {
    let parent = runtime();
    parent.block_on(async {
        let session = open(&directory()).await;
        let ticket = admitted(session.enter(&lock("before"), exclusive()).await.unwrap());
        session.leave(&lock("before"), &ticket).await.unwrap();
        session.close().await.unwrap();
    });
    drop(parent);
    let worker = || {
        runtime().block_on(async {
            let session = open(&directory()).await;
            println!("worker {}", try_lock(&*session).await);
            tokio::time::sleep(Duration::from_secs(2)).await;
            session.close().await.unwrap();
        });
    };
    for pid in [fork_and(worker), fork_and(worker)] {
        waitpid(pid).unwrap();
    }
    println!("done");
    read_line();
}

#[test]
fn two_forked_workers_do_not_both_hold_a_lock() {
    let directory = tempfile::tempdir().unwrap();
    let mut parent = Holder::start("forks_two_workers", directory.path());
    let mut said = [parent.expect("worker"), parent.expect("worker")];
    said.sort_unstable();
    assert_eq!(said, ["granted", "refused"]);
    parent.expect("done");
}

#[test]
#[ignore = "a child process of the tests below"]
fn forks_while_it_holds_a_lock() {
    let parent = runtime();
    let (session, ticket) = parent.block_on(async {
        let session = open(&directory()).await;
        let ticket = admitted(session.enter(&lock("l"), exclusive()).await.unwrap());
        (session, ticket)
    });
    let child = fork_and(|| {
        let roster = lock("l");
        let left = parent.block_on(session.leave(&roster, &ticket));
        println!("copy says {}", left.unwrap_err());
        runtime().block_on(async {
            let own = open(&directory()).await;
            println!("child {}", try_lock(&*own).await);
            own.close().await.unwrap();
        });
    });
    waitpid(child).unwrap();
    println!("parent {}", parent.block_on(session.renew()).is_ok());
    read_line();
}

#[tokio::test]
async fn a_forked_child_releases_nothing_of_its_parent_and_can_connect() {
    let directory = tempfile::tempdir().unwrap();
    let mut parent = Holder::start("forks_while_it_holds_a_lock", directory.path());
    let refusal = parent.expect("copy says");
    assert!(refusal.contains("fork") && refusal.contains(&parent.child.id().to_string()), "{refusal}");
    assert_eq!(parent.expect("child"), "refused");
    assert_eq!(parent.expect("parent"), "true");
    let session = open(directory.path()).await;
    assert_eq!(try_lock(&*session).await, "refused");
    parent.signal(Signal::KILL);
    let ticket = session.enter(&lock("l"), exclusive()).await.unwrap();
    if let Standing::Waiting { ticket, .. } = ticket {
        session.await_turn(&lock("l"), &ticket).await.unwrap();
    }
}

#[test]
#[ignore = "a child process of the test below"]
fn leaves_a_child_behind() {
    let parent = runtime();
    let session = parent.block_on(open(&directory()));
    parent.block_on(async { admitted(session.enter(&lock("l"), exclusive()).await.unwrap()) });
    let pid = fork_and(|| {
        // The child lives until the test closes the pipe.
        read_line();
    });
    println!("forked {pid}");
    loop {
        std::thread::sleep(Duration::from_secs(60));
    }
}

#[tokio::test]
async fn a_dead_parent_does_not_look_alive_through_the_descriptors_of_its_child() {
    let directory = tempfile::tempdir().unwrap();
    let mut parent = Holder::start("leaves_a_child_behind", directory.path());
    parent.expect("forked");
    let session = open(directory.path()).await;
    let ticket = waiting(session.enter(&lock("l"), exclusive()).await.unwrap());
    tokio::time::sleep(Duration::from_millis(50)).await;
    let killed = Instant::now();
    parent.signal(Signal::KILL);
    tokio::time::timeout(Duration::from_secs(5), session.await_turn(&lock("l"), &ticket)).await.unwrap().unwrap();
    println!("free after {:?}", killed.elapsed());
}
