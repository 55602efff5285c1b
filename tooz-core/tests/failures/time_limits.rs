//! Time limits and intervals at their extremes.

use std::time::Duration;

use tooz_core::{Coordinator, ErrorKind};

use super::wrapper::Control;

#[tokio::test(start_paused = true)]
async fn a_time_limit_of_zero_grants_what_is_free() {
    let control = Control::named("zero");
    let (a, b) = (control.builder("a").connect().await.unwrap(), control.builder("b").connect().await.unwrap());
    let guard = a.lock("l").acquire_timeout(Duration::ZERO).await.unwrap();
    let permit = a.semaphore("s", 1).acquire_timeout(Duration::ZERO).await.unwrap();
    let leadership = a.election("e").campaign_timeout(Duration::ZERO).await.unwrap();
    assert!(b.lock("l").acquire_timeout(Duration::ZERO).await.unwrap_err().is_timeout());
    assert!(b.semaphore("s", 1).acquire_timeout(Duration::ZERO).await.unwrap_err().is_timeout());
    assert!(b.election("e").campaign_timeout(Duration::ZERO).await.unwrap_err().is_timeout());
    drop((guard, permit, leadership));
}

#[tokio::test(start_paused = true)]
async fn the_greatest_duration_is_never_a_panic() {
    let control = Control::named("greatest");
    for ttl in [Duration::MAX, Duration::from_secs(u64::MAX)] {
        let error = control.builder("a").ttl(ttl).connect().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidOption);
        let error = control.builder("a").heartbeat(ttl).connect().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidOption);
    }
    let longest = Duration::from_secs(u64::from(u32::MAX));
    let builder = control.builder("a").ttl(longest).timeout(Duration::from_secs(86_400));
    let a: Coordinator = builder.connect().await.unwrap();
    let guard = a.lock("l").acquire_timeout(Duration::MAX).await.unwrap();
    assert!(guard.is_held() && guard.remaining().is_some_and(|remaining| remaining > longest / 10));
    tokio::time::sleep(Duration::from_secs(60)).await;
    guard.release().await.unwrap();
    a.close().await;
}
