//! Releases whose replies are lost.

use tooz_core::Error;

use crate::wrapper::Control;

#[tokio::test(start_paused = true)]
async fn a_release_with_a_lost_reply_was_taken_for_an_eviction() -> Result<(), Error> {
    let control = Control::named("lost-release");
    let a = control.builder("a").connect().await?;
    let guard = a.lock("l").acquire().await?;
    control.lose_leave_reply();
    guard.release().await
}

#[tokio::test(start_paused = true)]
async fn an_eviction_before_a_release_with_a_lost_reply_is_reported() -> Result<(), Error> {
    let control = Control::named("evicted-before-release");
    let (a, b) = (control.builder("a").connect().await?, control.builder("b").connect().await?);
    let guard = a.lock("l").acquire().await?;
    b.lock("l").break_lock().await?;
    assert!(guard.lost().await.is_not_held());
    control.lose_leave_reply();
    assert!(guard.release().await.is_err_and(|error| error.is_not_held()));
    Ok(())
}
