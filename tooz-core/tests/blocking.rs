//! The blocking API: every object, the end of the program, and threads that must not wait.
#![cfg(feature = "blocking")]

use std::time::Duration;

use tooz_core::blocking::Coordinator;
use tooz_core::memory::Server;
use tooz_core::{CancellationToken, Error, ErrorKind, GroupEvent, StartAt};

#[test]
fn every_object_works_without_a_runtime() -> Result<(), Error> {
    let (a, b) = (Coordinator::connect("memory://blocking")?, Coordinator::connect("memory://blocking")?);
    let guard = a.lock("l").with_info("job").acquire()?;
    assert!(guard.is_held() && b.lock("l").try_acquire()?.is_none());
    assert_eq!(b.lock("l").inspect()?.holders[0].info, b"job");
    assert_eq!(
        b.lock("l").acquire_timeout(Duration::from_millis(20)).map(drop).unwrap_err().kind(),
        ErrorKind::Timeout
    );
    guard.verify()?;
    guard.release()?;
    drop(a.semaphore("s", 1).acquire()?);
    let permit = b.semaphore("s", 1).acquire()?;
    permit.release()?;
    let mut observation = b.election("e").observe();
    assert_eq!(observation.next()?, None);
    let leadership = a.election("e").campaign()?;
    assert_eq!(observation.next()?.map(|leader| leader.term), Some(leadership.term()));
    leadership.resign()?;
    a.group("g").create()?;
    let mut watch = b.group("g").watch()?;
    let membership = a.group("g").join(())?;
    assert!(matches!(watch.next()?, GroupEvent::Joined(member) if member.id() == a.member()));
    membership.leave()?;
    assert!(matches!(watch.next()?, GroupEvent::Left(_)));
    assert_eq!(b.groups()?, ["g"]);
    let mut subscription = b.topic("t").subscribe(StartAt::Latest)?;
    a.topic("t").publish(b"hello")?;
    assert_eq!(subscription.next()?.payload, b"hello");
    assert!(a.health()?.is_healthy());
    Ok(())
}

#[test]
fn names_in_use_are_listed_and_several_locks_are_one_guard() -> Result<(), Error> {
    let (a, b) = (Coordinator::connect("memory://blocking-names")?, Coordinator::connect("memory://blocking-names")?);
    let guards = a.lock_all(["y", "x"]).acquire()?;
    let _permit = a.semaphore("s", 1).acquire()?;
    let _leadership = a.election("e").campaign()?;
    a.topic("t").publish(b"hello")?;
    assert_eq!((b.locks()?, b.semaphores()?), (vec!["x".parse()?, "y".parse()?], vec!["s".parse()?]));
    assert_eq!((b.elections()?, b.topics()?), (vec!["e".parse()?], vec!["t".parse()?]));
    assert!(b.lock_all(["x", "z"]).try_acquire()?.is_none());
    assert!(guards.is_held() && guards.fencing_token("x") < guards.fencing_token("y"));
    guards.verify()?;
    guards.release()?;
    assert!(b.lock_all(["x", "z"]).try_acquire()?.is_some());
    Ok(())
}

#[test]
fn work_of_a_leader_may_wait_and_is_called_again_after_a_loss() -> Result<(), Error> {
    let builder = tooz_core::Coordinator::builder("memory://blocking-lead").member("a");
    let coordinator = Coordinator::connect(builder)?;
    let (shutdown, mut terms) = (CancellationToken::new(), Vec::new());
    coordinator.election("e").lead(&shutdown, |leadership| {
        terms.push(leadership.term());
        coordinator.lock("l").acquire()?.release()?;
        if terms.len() == 1 {
            Server::named("blocking-lead").expire("a");
            assert!(leadership.lost().is_session_lost());
            return Err(Error::new(ErrorKind::Unexpected, "the result of a term that was lost is dropped"));
        }
        Ok(())
    })?;
    assert!(terms.len() == 2 && terms[0] < terms[1], "{terms:?}");
    assert_eq!(coordinator.election("e").leader()?, None);
    let failed = coordinator.election("e").lead(&shutdown, |_| Err(Error::new(ErrorKind::Unexpected, "failed")));
    assert_eq!(failed.unwrap_err().to_string(), "failed");
    shutdown.cancel();
    coordinator.election("e").lead(&shutdown, |_| -> Result<(), Error> { unreachable!("shut down before") })
}

#[test]
fn a_job_runs_once_in_a_period() -> Result<(), Error> {
    let coordinator = Coordinator::connect("memory://blocking-once")?;
    let (lock, hour) = (coordinator.lock("report"), Duration::from_secs(1_000 * 3_600));
    let mut runs = 0;
    for is_due in [true, false] {
        let has_run = lock.once_in(hour, |guard| {
            assert!(guard.is_held());
            runs += 1;
            Ok::<_, Error>(())
        })?;
        assert_eq!(has_run, is_due);
    }
    assert_eq!(runs, 1);
    let shutdown = CancellationToken::new();
    coordinator.lock("ticks").once_per(Duration::from_millis(20), &shutdown, |_| {
        runs += 1;
        if runs == 3 {
            shutdown.cancel();
        }
        Ok::<_, Error>(())
    })?;
    assert_eq!((runs, coordinator.locks()?), (3, vec![]));
    Ok(())
}

#[test]
fn dropping_everything_ends_the_session_before_it_returns() -> Result<(), Error> {
    let coordinator = Coordinator::connect("memory://blocking-drop")?;
    let guard = coordinator.lock("l").acquire()?;
    drop(coordinator);
    assert!(guard.is_held(), "the guard keeps the session");
    let server = Server::named("blocking-drop");
    assert_eq!(server.entry_count(), 1);
    drop(guard);
    assert_eq!(server.entry_count(), 0);
    Ok(())
}

#[test]
fn a_loss_is_reported_while_no_call_waits() -> Result<(), Error> {
    let builder = tooz_core::Coordinator::builder("memory://blocking-loss").member("a");
    let coordinator = Coordinator::connect(builder)?;
    let guard = coordinator.lock("l").acquire()?;
    Server::named("blocking-loss").expire("a");
    assert!(guard.lost().is_session_lost());
    assert!(!guard.is_held());
    assert!(coordinator.lock("l").acquire()?.is_held(), "there is a new session");
    coordinator.close()?;
    assert_eq!(coordinator.lock("l").acquire().map(drop).unwrap_err().kind(), ErrorKind::Closed);
    Ok(())
}

#[test]
fn in_a_thread_of_a_runtime_each_call_is_refused_and_none_panics() -> Result<(), Error> {
    let coordinator = Coordinator::connect("memory://blocking-async")?;
    let guard = coordinator.lock("l").acquire()?;
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    runtime.block_on(async {
        let refused = |error: Error| assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        refused(Coordinator::connect("memory://blocking-async").map(drop).unwrap_err());
        refused(coordinator.lock("m").acquire().map(drop).unwrap_err());
        refused(guard.lost());
        refused(guard.release().unwrap_err());
        drop(coordinator);
    });
    Ok(())
}
