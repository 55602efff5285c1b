//! The driver against a server that speaks TLS, with each `sslmode`, and against one that does not.

use std::process::ExitCode;
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use tooz_conformance::servers::{Certificates, Deployment, postgres};
use tooz_conformance::{Context, Failure, Harness, Needs, ensure, ensure_eq, fail};
use tooz_core::{Error, ErrorKind};
use tooz_postgres::DRIVER;

/// Made when the server is started.
type Files = Arc<LazyLock<Certificates>>;

fn main() -> ExitCode {
    #[expect(clippy::unwrap_used, reason = "without openssl nothing can be tested")]
    let files: Files = Arc::new(LazyLock::new(|| Certificates::make().unwrap()));
    let url = {
        let files = files.clone();
        move |hosts: &[String]| secure_url(&hosts[0], &files, "sslmode=verify-full", "ca.pem")
    };
    let trial = |trial: fn(Context, Files) -> Outcome| {
        let files = files.clone();
        move |context| trial(context, files.clone())
    };
    let harness = Harness::new("postgres-tls", DRIVER, postgres::secure(files.clone()), url).only_own();
    tooz_conformance::main(
        harness
            .trial("tls::each_sslmode_checks_what_it_says", Needs::NOTHING, trial(|c, f| Box::pin(sslmodes(c, f))))
            .trial("tls::wrong_certificates_are_refused", Needs::NOTHING, trial(|c, f| Box::pin(wrong_files(c, f))))
            .trial("tls::a_server_without_tls_is_an_error", Needs::NOTHING, trial(|c, f| Box::pin(plain_server(c, f)))),
    )
}

type Outcome = std::pin::Pin<Box<dyn Future<Output = Result<(), Failure>> + Send>>;

fn secure_url(host: &str, files: &Certificates, options: &str, ca: &str) -> String {
    format!("postgres://postgres@{host}/postgres?{options}&sslrootcert={}", files.path(ca))
}

/// The address of the server, as `127.0.0.1:port`.
fn host(context: &Context) -> String {
    context.url().split(['@', '/']).nth(3).unwrap_or_default().to_owned()
}

/// Acquires a lock at `url`, and says whether the server sees TLS.
async fn works(context: &Context, url: String) -> Result<(), Failure> {
    let coordinator = context.in_another_namespace().at(url).coordinator("a").await?;
    drop(coordinator.lock("l").acquire().await?);
    coordinator.close().await;
    Ok(())
}

/// The error of a driver that connects to `url`. It comes at once: nothing waits for a timeout.
async fn refusal(context: &Context, url: String) -> Result<Error, Failure> {
    let options = context.session_options("a")?;
    let began = Instant::now();
    let opened = context.at(url.clone()).driver()?.open(&options).await;
    ensure!(began.elapsed() < options.timeout, "refused after {:?}", began.elapsed());
    opened.err().ok_or_else(|| Failure::new(format!("{url} has connected")))
}

async fn sslmodes(context: Context, files: Files) -> Result<(), Failure> {
    let host = host(&context);
    let named = host.replace("127.0.0.1", "localhost");
    for mode in ["prefer", "require", "verify-ca", "verify-full"] {
        works(&context, secure_url(&host, &files, &format!("sslmode={mode}"), "ca.pem")).await?;
    }
    works(&context, secure_url(&named, &files, "sslmode=verify-full", "ca.pem")).await?;
    // The certificate is not for this name, which leads to the same server.
    let other = host.replace("127.0.0.1", "127.0.0.2");
    let by = "sslmode=verify-ca&hostaddr=127.0.0.1";
    works(&context, secure_url(&other, &files, by, "ca.pem")).await?;
    let error = refusal(&context, secure_url(&other, &files, &by.replace("-ca", "-full"), "ca.pem")).await?;
    ensure_eq!(error.kind(), ErrorKind::AuthFailed);
    // As in libpq, nothing is checked without a certificate to trust.
    works(&context, format!("postgres://postgres@{host}/postgres?sslmode=require")).await?;
    let client =
        format!("sslmode=verify-full&sslcert={}&sslkey={}", files.path("client.pem"), files.path("client.key"));
    works(&context, secure_url(&host, &files, &client, "ca.pem")).await
}

async fn wrong_files(context: Context, files: Files) -> Result<(), Failure> {
    let host = host(&context);
    for mode in ["require", "verify-ca", "verify-full"] {
        let error = refusal(&context, secure_url(&host, &files, &format!("sslmode={mode}"), "stranger.pem")).await?;
        ensure!(error.kind() == ErrorKind::AuthFailed && error.to_string().contains("sslrootcert"), "{error}");
    }
    for (ca, text) in [("missing.pem", "missing.pem"), ("client.key", "client.key")] {
        let error = refusal(&context, secure_url(&host, &files, "sslmode=verify-full", ca)).await?;
        ensure!(error.kind() == ErrorKind::InvalidOption && error.to_string().contains(text), "{error}");
    }
    let stranger =
        format!("sslmode=verify-full&sslcert={}&sslkey={}", files.path("stranger.pem"), files.path("stranger.key"));
    let error = refusal(&context, secure_url(&host, &files, &stranger, "ca.pem")).await?;
    ensure!(!error.to_string().is_empty() && error.kind() != ErrorKind::Unexpected, "{error:?}");
    let half = format!("sslmode=verify-full&sslcert={}", files.path("client.pem"));
    let error = refusal(&context, secure_url(&host, &files, &half, "ca.pem")).await?;
    ensure!(error.to_string().contains("sslkey"), "{error}");
    Ok(())
}

async fn plain_server(context: Context, files: Files) -> Result<(), Failure> {
    let other = Deployment::start(&postgres::single()).await?;
    let plain = &other.addresses()[0];
    for mode in ["require", "verify-ca", "verify-full"] {
        let error = refusal(&context, secure_url(plain, &files, &format!("sslmode={mode}"), "ca.pem")).await?;
        ensure!(error.to_string().contains("TLS") && error.to_string().contains(plain.as_str()), "{error}");
        if error.is_retryable() {
            fail!("core would repeat this for as long as the caller waits: {error}");
        }
    }
    works(&context, secure_url(plain, &files, "sslmode=prefer", "ca.pem")).await?;
    other.remove().await?;
    Ok(())
}
