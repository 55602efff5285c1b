//! A process that forks: the child cannot use what its parent has made, harms none of it, and may connect anew.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use fork::{Fork, fork, waitpid};
use tokio::runtime::{Builder, Runtime};
use tooz_core::memory::Server;
use tooz_core::{Coordinator, Guard, Result, SessionState, StartAt};

const TTL: Duration = Duration::from_secs(10);

/// A fork copies a mutex that another thread has locked, so the tests run one after the other.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime can be built")
}

async fn connect(member: &str) -> Coordinator {
    let builder = Coordinator::builder("memory://fork").member(member).ttl(TTL);
    builder.connect().await.expect("the memory driver connects")
}

/// Runs `child` in a fork of this process, and panics here if it panics there.
fn in_a_fork(child: impl FnOnce()) {
    match fork().expect("the process can fork") {
        Fork::Child => {
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child));
            std::process::exit(i32::from(outcome.is_err()));
        }
        Fork::Parent(child) => assert_eq!(waitpid(child).expect("the child ends"), 0, "the child has failed"),
    }
}

fn is_refused<T: std::fmt::Debug>(outcome: Result<T>) {
    let error = outcome.expect_err("a fork may not use what its parent has made");
    assert!(error.is_closed() && error.to_string().contains("fork"), "{error}");
}

async fn use_everything(coordinator: &Coordinator, guard: &Guard) {
    assert!(!guard.is_held());
    assert_eq!(guard.remaining(), Some(Duration::ZERO));
    is_refused::<()>(Err(guard.lost().await));
    is_refused(guard.verify().await);
    is_refused(guard.run(std::future::pending::<Result<()>>()).await);
    assert_eq!(coordinator.state(), SessionState::Closed);
    is_refused(coordinator.lock("m").try_acquire().await);
    is_refused(coordinator.election("e").campaign_timeout(Duration::ZERO).await);
    is_refused(coordinator.topic("t").publish(b"x").await);
    is_refused(coordinator.groups().await);
}

#[test]
fn a_forked_child_neither_uses_nor_releases_what_its_parent_holds() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let parent = runtime();
    let (coordinator, guard, released, membership, mut leaders, mut subscription) = parent.block_on(async {
        let coordinator = connect("parent").await;
        coordinator.group("g").create().await.unwrap();
        let membership = coordinator.group("g").join(()).await.unwrap();
        let (guard, released) = (coordinator.lock("l"), coordinator.lock("m"));
        let (guard, released) = (guard.acquire().await.unwrap(), released.acquire().await.unwrap());
        let mut leaders = coordinator.election("e").observe();
        assert_eq!(leaders.next().await.unwrap(), None);
        let subscription = coordinator.topic("t").subscribe(StartAt::Latest).await.unwrap();
        (coordinator, guard, released, membership, leaders, subscription)
    });
    let entries = Server::named("fork").entry_count();
    in_a_fork(|| {
        // The child drives the copies of the parent's tasks, too.
        parent.block_on(async {
            use_everything(&coordinator, &guard).await;
            is_refused(leaders.next().await);
            is_refused(subscription.next().await);
            is_refused(membership.joined().await);
            is_refused(membership.update(()).await);
            is_refused(membership.leave().await);
            is_refused(released.release().await);
            drop(guard);
            coordinator.close().await;
            drop((coordinator, leaders, subscription));
            tokio::time::sleep(Duration::from_millis(100)).await;
        });
        drop(parent);
        // The child has a copy of the memory server, in which nothing has changed.
        assert_eq!(Server::named("fork").entry_count(), entries);
        runtime().block_on(async {
            let own = connect("child").await;
            assert!(own.lock("l").try_acquire().await.unwrap().is_none(), "the parent holds the lock");
            own.lock("own").acquire().await.unwrap().release().await.unwrap();
            own.close().await;
        });
    });
}

#[test]
fn the_parent_goes_on_after_a_fork() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let parent = runtime();
    let (coordinator, guard) = parent.block_on(async {
        let coordinator = connect("goes-on").await;
        let guard = coordinator.lock("kept").acquire().await.unwrap();
        (coordinator, guard)
    });
    in_a_fork(|| drop((coordinator.clone(), parent.block_on(guard.lost()))));
    assert!(guard.is_held());
    parent.block_on(async {
        guard.verify().await.unwrap();
        guard.release().await.unwrap();
        coordinator.close().await;
    });
}
