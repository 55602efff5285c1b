//! zookeeper-client against a server that speaks TLS only: the suite, and wrong TLS options.

#![expect(clippy::unwrap_used, reason = "a panic is how these tests fail")]

mod support;

use std::process::ExitCode;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use tooz_conformance::servers::{Certificates, Deployment, zookeeper};
use tooz_conformance::{Context, Failure, Harness, Needs};
use tooz_core::ErrorKind;

use self::support::{Client, lock};

const TTL: Duration = Duration::from_secs(30);
const LIMIT: Duration = Duration::from_secs(2);

/// Made when the first server is started, so not in child processes.
type Files = Arc<LazyLock<Certificates>>;

fn main() -> ExitCode {
    let files: Files = Arc::new(LazyLock::new(|| Certificates::make().unwrap()));
    let wrong = files.clone();
    let wrong = move |context| wrong_options(context, wrong.clone());
    let plain = files.clone();
    let plain = move |context| a_plain_port(context, plain.clone());
    let spec = zookeeper::secure(files.clone());
    let harness = Harness::new("zookeeper-tls", tooz_zookeeper::DRIVER, spec, move |hosts| {
        url(&hosts.join(","), &files, "ca.pem", Some("client"))
    });
    tooz_conformance::main(
        support::without_copies(harness).trial("tls::wrong_certificates_are_refused", Needs::NOTHING, wrong).trial(
            "tls::a_plain_port_is_named",
            Needs::NOTHING,
            plain,
        ),
    )
}

fn url(hosts: &str, files: &Certificates, ca: &str, identity: Option<&str>) -> String {
    let mut url = format!("zookeeper://{hosts}?use_ssl=true&ca={}", files.path(ca));
    if let Some(name) = identity {
        let (cert, key) = (files.path(&format!("{name}.pem")), files.path(&format!("{name}.key")));
        url.push_str(&format!("&certfile={cert}&keyfile={key}"));
    }
    url
}

/// The error of an attempt to open a session, which must be returned in time.
async fn refusal(context: &Context, url: String) -> tooz_core::Error {
    let before = Instant::now();
    let failure = context.at(url).driver().unwrap().open(&support::options(context, TTL, LIMIT)).await.err().unwrap();
    assert!(before.elapsed() < LIMIT + Duration::from_millis(500), "refused after {:?}: {failure}", before.elapsed());
    failure
}

async fn wrong_options(context: Context, files: Files) -> Result<(), Failure> {
    let hosts = &support::hosts(&context);
    let error = refusal(&context, url(hosts, &files, "stranger.pem", Some("client"))).await;
    assert!(error.kind() == ErrorKind::AuthFailed && error.to_string().contains("UnknownIssuer"), "{error}");
    for identity in [None, Some("stranger")] {
        let error = refusal(&context, url(hosts, &files, "ca.pem", identity)).await;
        assert!(error.to_string().contains("certfile"), "{identity:?}: {error}");
    }
    let error = refusal(&context, url(hosts, &files, "missing.pem", None)).await;
    assert!(error.kind() == ErrorKind::InvalidOption && error.to_string().contains("missing.pem"), "{error}");
    let error = refusal(&context, url(hosts, &files, "client.key", None)).await;
    assert_eq!(error.kind(), ErrorKind::InvalidOption, "{error}");
    // A plain connection to a port that speaks TLS.
    let error = refusal(&context, format!("zookeeper://{hosts}")).await;
    assert!(error.to_string().contains(hosts), "{error}");
    Client::open(&context, TTL, LIMIT).await?.hold(&lock("lock")).await?;
    Ok(())
}

async fn a_plain_port(context: Context, files: Files) -> Result<(), Failure> {
    let other = Deployment::start(&zookeeper::single()).await?;
    let plain = &other.addresses()[0];
    let error = refusal(&context, url(plain, &files, "ca.pem", Some("client"))).await;
    assert!(error.kind() == ErrorKind::Unavailable && error.to_string().contains(plain), "{error}");
    other.remove().await?;
    Ok(())
}
