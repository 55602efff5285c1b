//! `scope` closes the coordinator on every way out, so nothing waits for a TTL.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::sleep;
use tooz_core::{Coordinator, Error, ErrorKind, Guard, Result, scope};

use super::coordinators::steady;
use super::fixtures::{fails, soon};
use crate::{Context, Failure, ensure, ensure_eq};

trials! { "scope"
    NOTHING:
    it_closes_after_a_result,
    it_closes_after_an_error,
    it_closes_after_a_panic,
    it_closes_when_it_is_dropped,
    a_failed_connection_is_an_error_of_the_caller;
}

/// An error of the user of the library.
#[derive(Debug)]
enum UserError {
    Tooz(Error),
    Job,
}

impl From<Error> for UserError {
    fn from(error: Error) -> Self {
        Self::Tooz(error)
    }
}

/// Waits for a lock that the scope held; its TTL of 30 s exceeds the patience of the trial.
async fn is_free(coordinator: &Coordinator) -> Result<()> {
    soon("the lock of the scope", coordinator.lock("l").acquire()).await?.release().await
}

fn builder(context: &Context) -> tooz_core::Builder {
    context.builder("scoped").ttl(Duration::from_secs(30))
}

async fn it_closes_after_a_result(context: Context) -> Result<(), Failure> {
    let b = steady(&context, "b").await?;
    let held = |coordinator: Coordinator| async move { coordinator.lock("l").acquire().await };
    let guard: Guard = scope(builder(&context), held).await?;
    ensure!(!guard.is_held(), "a guard outlived its scope");
    fails(guard.release().await, ErrorKind::Closed);
    is_free(&b).await?;
    Ok(())
}

async fn it_closes_after_an_error(context: Context) -> Result<(), Failure> {
    let b = steady(&context, "b").await?;
    let failing = |coordinator: Coordinator| async move {
        std::mem::forget(coordinator.lock("l").acquire().await?);
        Err::<(), _>(UserError::Job)
    };
    let outcome = scope(builder(&context), failing).await;
    ensure!(matches!(outcome, Err(UserError::Job)), "{outcome:?}");
    is_free(&b).await?;
    Ok(())
}

async fn it_closes_after_a_panic(context: Context) -> Result<(), Failure> {
    let b = steady(&context, "b").await?;
    let panicking = |coordinator: Coordinator| async move {
        let _guard = coordinator.lock("l").acquire().await?;
        // Without a message of the panic hook, which would look like a failure.
        std::panic::resume_unwind(Box::new("the job panicked"));
        #[expect(unreachable_code, reason = "the type of the result")]
        Ok::<(), Error>(())
    };
    let panic = AssertUnwindSafe(scope(builder(&context), panicking)).catch_unwind().await;
    let Err(panic) = panic else { panic!("expected: the panic continues after the close\nactual: it was swallowed") };
    ensure_eq!(panic.downcast_ref::<&str>(), Some(&"the job panicked"));
    is_free(&b).await?;
    Ok(())
}

async fn it_closes_when_it_is_dropped(context: Context) -> Result<(), Failure> {
    let b = steady(&context, "b").await?;
    let (sender, holding) = tokio::sync::oneshot::channel();
    let endless = |coordinator: Coordinator| async move {
        std::mem::forget(coordinator.lock("l").acquire().await?);
        let _ = sender.send(());
        sleep(Duration::from_secs(3600)).await;
        Ok::<(), Error>(())
    };
    let running = tokio::spawn(scope(builder(&context), endless));
    soon("the lock is held", holding).await?;
    ensure!(b.lock("l").try_acquire().await?.is_none());
    running.abort();
    is_free(&b).await?;
    Ok(())
}

async fn a_failed_connection_is_an_error_of_the_caller(context: Context) -> Result<(), Failure> {
    let invalid = builder(&context).ttl(Duration::MAX);
    let outcome = scope(invalid, |_| async { Err::<(), _>(UserError::Job) }).await;
    ensure!(matches!(&outcome, Err(UserError::Tooz(error)) if error.kind() == ErrorKind::InvalidOption), "{outcome:?}");
    Ok(())
}
