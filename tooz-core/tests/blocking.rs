//! The blocking API: every object, the end of the program, and threads that must not wait.
#![cfg(feature = "blocking")]

use std::time::Duration;

use tooz_core::blocking::Coordinator;
use tooz_core::memory::Server;
use tooz_core::{Error, ErrorKind, GroupEvent, StartAt};

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
