//! Coordinators: connecting, refused options, session states, and closing.

use std::time::{Duration, Instant};

use tooz_core::{Characteristic, Coordinator, ErrorKind, Registry, SessionState, StartAt};

use super::coordinators::{pair, steady};
use super::fixtures::{SHORT_TTL, fails, soon};
use crate::{Context, Failure, ensure, ensure_eq, ensure_ne};

trials! { "coordinator"
    NOTHING:
    it_reports_member_namespace_and_driver,
    members_have_names_of_their_own_by_default,
    every_characteristic_that_is_claimed_can_be_required,
    a_missing_characteristic_is_refused,
    an_unknown_option_is_refused_by_name,
    malformed_options_are_refused,
    an_invalid_url_is_refused,
    a_scheme_without_driver_is_refused_with_advice,
    names_that_are_too_short_or_too_long_are_refused,
    errors_name_what_was_attempted_on_what,
    a_missing_server_is_reported_in_time,
    closing_ends_every_call,
    closing_twice_is_fine,
    states_begin_with_the_present_one_and_end,
    dropping_the_last_clone_ends_the_session,
    coordinators_with_the_same_member_id_exclude_each_other,
    namespaces_are_separate;
}

async fn it_reports_member_namespace_and_driver(context: Context) -> Result<(), Failure> {
    let (a, info) = (steady(&context, "a").await?, context.info()?);
    ensure_eq!(a.member().as_bytes(), b"a");
    ensure_eq!(a.namespace(), context.namespace());
    ensure_eq!((a.driver_name(), a.characteristics()), (info.name, info.characteristics));
    ensure_eq!(a.state(), SessionState::Connected);
    Ok(())
}

async fn members_have_names_of_their_own_by_default(context: Context) -> Result<(), Failure> {
    let builder = || {
        let registry = Registry::with([context.driver]);
        Coordinator::builder(context.url()).registry(registry).namespace(context.namespace())
    };
    let (one, other) = (builder().connect().await?, builder().connect().await?);
    ensure_ne!(one.member(), other.member());
    ensure!(one.member().to_string().contains(&std::process::id().to_string()), "{}", one.member());
    Ok(())
}

const ALL: [Characteristic; 10] = {
    use Characteristic as C;
    [
        C::NonTimeoutBased,
        C::DistributedAcrossThreads,
        C::DistributedAcrossProcesses,
        C::DistributedAcrossHosts,
        C::Linearizable,
        C::Sequential,
        C::Causal,
        C::Serializable,
        C::SameViewUnderPartitions,
        C::SameViewAcrossClients,
    ]
};

async fn every_characteristic_that_is_claimed_can_be_required(context: Context) -> Result<(), Failure> {
    let claimed = context.info()?.characteristics;
    ensure!(claimed.contains(&Characteristic::DistributedAcrossThreads), "every driver must work across threads");
    let builder = claimed.iter().fold(context.builder("a"), |builder, one| builder.require(*one));
    let coordinator = builder.connect().await?;
    let depends_on_time = coordinator.lock("l").acquire().await?.remaining().is_some();
    ensure_eq!(claimed.contains(&Characteristic::NonTimeoutBased), !depends_on_time);
    Ok(())
}

async fn a_missing_characteristic_is_refused(context: Context) -> Result<(), Failure> {
    let claimed = context.info()?.characteristics;
    for missing in ALL.iter().filter(|one| !claimed.contains(one)) {
        let error = context
            .builder("a")
            .require(*missing)
            .connect()
            .await
            .expect_err("expected: an error for a missing characteristic");
        ensure_eq!(error.kind(), ErrorKind::DriverChosenPoorly, "{error}");
        ensure!(error.to_string().contains(&missing.to_string()), "{error}");
    }
    Ok(())
}

async fn an_unknown_option_is_refused_by_name(context: Context) -> Result<(), Failure> {
    let error = context
        .builder("a")
        .option("no_such_option", "1")
        .connect()
        .await
        .expect_err("expected: an error for an unknown option");
    ensure_eq!(error.kind(), ErrorKind::InvalidOption, "{error}");
    let text = error.to_string();
    ensure!(
        text.contains("no_such_option") && text.contains("ttl"),
        "the error does not name the option and the valid ones: {text}"
    );
    Ok(())
}

async fn malformed_options_are_refused(context: Context) -> Result<(), Failure> {
    // The harness sets the TTL itself, which overrides the URL, so the trial uses the other options.
    for (name, value) in [("heartbeat", "soon"), ("timeout", "-1"), ("timeout", ""), ("heartbeat", "0")] {
        let error = context
            .builder("a")
            .option(name, value)
            .connect()
            .await
            .expect_err("expected: an error for a malformed option");
        ensure_eq!(error.kind(), ErrorKind::InvalidOption, "{name}={value}: {error}");
        ensure!(error.to_string().contains(name), "{error}");
    }
    fails(context.builder("a").ttl(Duration::ZERO).connect().await, ErrorKind::InvalidOption);
    fails(context.builder("a").timeout(Duration::ZERO).connect().await, ErrorKind::InvalidOption);
    fails(context.builder("a").heartbeat(SHORT_TTL * 100).connect().await, ErrorKind::InvalidOption);
    Ok(())
}

async fn an_invalid_url_is_refused(context: Context) -> Result<(), Failure> {
    let registry = Registry::with([context.driver]);
    for url in ["", "localhost", "://", "re dis://x"] {
        let builder = Coordinator::builder(url).registry(registry.clone());
        fails(builder.connect().await, ErrorKind::InvalidUrl);
    }
    Ok(())
}

async fn a_scheme_without_driver_is_refused_with_advice(context: Context) -> Result<(), Failure> {
    let registry = Registry::with([context.driver]);
    let builder = Coordinator::builder("nosuchthing://x").registry(registry);
    let error = builder.connect().await.expect_err("expected: an error for a scheme without a driver");
    ensure_eq!(error.kind(), ErrorKind::NoDriverFound, "{error}");
    let scheme = context.driver.schemes[0];
    ensure!(error.to_string().contains("nosuchthing") && error.to_string().contains(scheme), "{error}");
    Ok(())
}

async fn names_that_are_too_short_or_too_long_are_refused(context: Context) -> Result<(), Failure> {
    let a = steady(&context, "a").await?;
    for name in [String::new(), "x".repeat(513)] {
        fails(a.lock(&name).acquire().await, ErrorKind::InvalidName);
        fails(a.lock(&name).try_acquire().await, ErrorKind::InvalidName);
        fails(a.lock(&name).inspect().await, ErrorKind::InvalidName);
        fails(a.semaphore(&name, 1).acquire().await, ErrorKind::InvalidName);
        fails(a.election(&name).campaign().await, ErrorKind::InvalidName);
        fails(a.election(&name).leader().await, ErrorKind::InvalidName);
        fails(soon("the answer", a.election(&name).observe().next()).await, ErrorKind::InvalidName);
        fails(a.group(&name).create().await, ErrorKind::InvalidName);
        fails(a.group(&name).join(()).await, ErrorKind::InvalidName);
        fails(a.topic(&name).publish(b"x").await, ErrorKind::InvalidName);
        fails(a.topic(&name).subscribe(StartAt::Latest).await, ErrorKind::InvalidName);
        fails(context.builder(&name).connect().await, ErrorKind::InvalidName);
        fails(context.builder("a").namespace(&name).connect().await, ErrorKind::InvalidName);
    }
    drop(a.lock("x".repeat(512)).acquire().await?);
    Ok(())
}

async fn errors_name_what_was_attempted_on_what(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let _guard = a.lock("nightly").acquire().await?;
    let limit = Duration::from_millis(20);
    let error = b.lock("nightly").acquire_timeout(limit).await.expect_err("expected: a timeout while the lock is held");
    ensure_eq!(error.operation(), Some("acquire_timeout"));
    ensure!(error.to_string().contains("nightly"), "{error}");
    let error = a.group("workers").join(()).await.expect_err("expected: an error for a group that was not created");
    ensure_eq!(error.operation(), Some("join"));
    ensure!(error.to_string().contains("workers"), "{error}");
    Ok(())
}

async fn a_missing_server_is_reported_in_time(context: Context) -> Result<(), Failure> {
    let unreachable = context.without_server()?;
    let began = Instant::now();
    let builder = unreachable.builder("a").timeout(Duration::from_secs(2));
    let error = builder.connect().await.expect_err("expected: an error without a server");
    ensure!(began.elapsed() < Duration::from_secs(10), "connect failed only after {:?}", began.elapsed());
    ensure_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    ensure!(error.is_retryable());
    ensure!(error.to_string().contains("127.0.0.1"), "the error does not name the address: {error}");
    Ok(())
}

async fn closing_ends_every_call(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let membership = {
        a.group("g").create().await?;
        a.group("g").join(()).await?
    };
    let (lock, held) = (a.lock("l"), b.lock("l").acquire().await?);
    let waiting = tokio::spawn(async move { lock.acquire().await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    a.close().await;
    fails(super::fixtures::ends("the end of a waiter", waiting).await, ErrorKind::Closed);
    fails(a.lock("l").try_acquire().await, ErrorKind::Closed);
    fails(a.lock("l").inspect().await, ErrorKind::Closed);
    fails(a.lock("l").break_lock().await, ErrorKind::Closed);
    fails(a.semaphore("s", 1).acquire().await, ErrorKind::Closed);
    fails(a.election("e").campaign().await, ErrorKind::Closed);
    fails(a.groups().await, ErrorKind::Closed);
    fails(a.group("g").members().await, ErrorKind::Closed);
    fails(a.group("g").watch().await, ErrorKind::Closed);
    fails(membership.leave().await, ErrorKind::Closed);
    held.verify().await?;
    ensure!(b.lock("l").inspect().await?.waiters.is_empty());
    Ok(())
}

async fn closing_twice_is_fine(context: Context) -> Result<(), Failure> {
    let a = steady(&context, "a").await?;
    let clone = a.clone();
    soon("both closes", async { tokio::join!(a.close(), clone.close()) }).await;
    soon("the third close", a.close()).await;
    ensure_eq!(a.state(), SessionState::Closed);
    Ok(())
}

async fn states_begin_with_the_present_one_and_end(context: Context) -> Result<(), Failure> {
    let a = steady(&context, "a").await?;
    let mut states = a.states();
    ensure_eq!(soon("the present state", states.next()).await, Some(SessionState::Connected));
    a.close().await;
    ensure_eq!(soon("the last state", states.next()).await, Some(SessionState::Closed));
    ensure_eq!(soon("the end of the states", states.next()).await, None);
    let mut late = a.states();
    ensure_eq!(soon("the present state", late.next()).await, Some(SessionState::Closed));
    ensure_eq!(soon("the end of the states", late.next()).await, None);
    Ok(())
}

async fn dropping_the_last_clone_ends_the_session(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let (lock, clone) = (a.lock("l"), a.clone());
    let guard = lock.acquire().await?;
    drop((a, lock));
    ensure!(guard.is_held() && b.lock("l").try_acquire().await?.is_none());
    drop(guard);
    soon("the turn after the guard", b.lock("l").acquire()).await?.release().await?;
    b.group("g").create().await?;
    let membership = clone.group("g").join(()).await?;
    drop(clone);
    ensure_eq!(b.group("g").members().await?.len(), 1, "a membership keeps the session");
    drop(membership);
    let left = async || Ok(b.group("g").members().await?.is_empty());
    super::fixtures::eventually("the member has left", super::fixtures::PATIENCE, left).await?;
    Ok(())
}

async fn coordinators_with_the_same_member_id_exclude_each_other(context: Context) -> Result<(), Failure> {
    let (one, other) = (steady(&context, "a").await?, steady(&context, "a").await?);
    let guard = one.lock("l").acquire().await?;
    ensure!(other.lock("l").try_acquire().await?.is_none());
    other.close().await;
    guard.verify().await?;
    Ok(())
}

async fn namespaces_are_separate(context: Context) -> Result<(), Failure> {
    let other = context.in_another_namespace();
    let (a, b) = (steady(&context, "a").await?, steady(&other, "a").await?);
    let (_held, _also) = (a.lock("l").acquire().await?, soon("its own lock", b.lock("l").acquire()).await?);
    a.group("g").create().await?;
    fails(b.group("g").members().await, ErrorKind::GroupNotCreated);
    ensure!(b.groups().await?.is_empty());
    ensure_eq!(b.election("l").leader().await?, None);
    Ok(())
}
