//! Sessions: opening and closing, before any roster is used.

use std::time::Duration;

use tooz_core::ErrorKind;

use crate::{Context, Failure, Needs, Trial, ensure, ensure_eq};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        Trial::new("session::close_is_idempotent_and_final", Needs::NOTHING, close_is_idempotent_and_final),
        Trial::new("session::open_fails_without_a_server", Needs::NOTHING, open_fails_without_a_server),
        Trial::new("session::open_fails_on_a_frozen_server", Needs::OWN_SERVER, open_fails_on_a_frozen_server),
    ]
}

async fn close_is_idempotent_and_final(context: Context) -> Result<(), Failure> {
    let session = context.session("a").await?;
    session.renew().await?;
    session.close().await?;
    session.close().await?;
    let outcome = session.renew().await;
    ensure!(outcome.as_ref().is_err_and(|e| e.is_session_lost()), "renew after close gave {outcome:?}");
    Ok(())
}

async fn open_fails_without_a_server(context: Context) -> Result<(), Failure> {
    open_is_unavailable(&context.without_server()?).await
}

async fn open_fails_on_a_frozen_server(context: Context) -> Result<(), Failure> {
    context.server()?.pause().await?;
    open_is_unavailable(&context).await
}

async fn open_is_unavailable(context: &Context) -> Result<(), Failure> {
    let limit = context.session_options("a")?.timeout + Duration::from_secs(3);
    match tokio::time::timeout(limit, context.session("a")).await {
        Err(_) => Err(Failure::new(format!("expected: open fails within {limit:?}\nactual: it did not return"))),
        Ok(Ok(_)) => Err(Failure::new("expected: open fails without a server\nactual: it returned a session")),
        Ok(Err(_)) => {
            let error = context.driver()?.open(&context.session_options("a")?).await.err();
            ensure_eq!(error.map(|error| error.kind()), Some(ErrorKind::Unavailable));
            Ok(())
        }
    }
}
