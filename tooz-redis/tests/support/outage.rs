//! What the driver says while a server does not serve, and within which time.

use std::time::{Duration, Instant};

use tokio::time::sleep;
use tooz_core::driver::{Kind, Nonce, Session, Version};
use tooz_core::{ErrorKind, Result};

use super::{TIMEOUT, exclusive, lock, open};

/// How long a state may last here. Sessions outlive it.
pub(crate) const LONG: Duration = Duration::from_secs(30);

/// Fails unless the request is refused in time, for now, and with one of these texts.
pub(crate) async fn says<T: std::fmt::Debug>(request: impl Future<Output = Result<T>>, texts: &[&str]) {
    let began = Instant::now();
    let error = request.await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.is_retryable(), "{error}");
    assert!(texts.iter().any(|text| error.to_string().contains(text)), "{error}");
    assert!(began.elapsed() < TIMEOUT * 2, "it took {:?}", began.elapsed());
}

/// As [`says`], of every sort of request and of a new session.
pub(crate) async fn all_say(session: &dyn Session, url: &str, texts: &[&str]) {
    says(session.enter(&lock("other"), exclusive(Nonce::random())), texts).await;
    says(session.snapshot(&lock("other"), None), texts).await;
    says(session.snapshot(&lock("other"), Some(Version(0))), texts).await;
    says(session.declared(Kind::Group), texts).await;
    says(session.renew(), texts).await;
    says(async { open(url, "late").await.map(drop) }, texts).await;
}

/// Reads again and again until an answer has `text`. Each answer before it, also another error, comes in time.
pub(crate) async fn comes_to_say(session: &dyn Session, text: &str) {
    let deadline = Instant::now() + LONG;
    let mut last;
    loop {
        let began = Instant::now();
        let answer = session.snapshot(&lock("other"), None).await;
        assert!(began.elapsed() < TIMEOUT * 2, "it took {:?}", began.elapsed());
        match answer {
            Err(error) if error.to_string().contains(text) => return,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
                last = error.to_string();
            }
            Ok(_) => last = "success".to_owned(),
        }
        assert!(Instant::now() < deadline, "the last answer was {last}");
        sleep(Duration::from_millis(50)).await;
    }
}
