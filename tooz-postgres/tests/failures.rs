//! What the driver does when the server fails, refuses or is set up in an unusual way: a clear error or a recovery.

mod support;

use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use support::{admin, harness};
use tokio::time::{sleep, timeout};
use tooz_conformance::servers::Provision;
use tooz_conformance::{Context, Failure, Needs, ensure, ensure_eq, fail};
use tooz_core::driver::{IfBlocked, Key, Kind, Mode, NewEntry, Nonce, Roster, Session, Standing};
use tooz_core::{Error, ErrorKind, Name, ServiceUrl};
use tooz_postgres::DRIVER;

const SOON: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let own = Needs::OWN_SERVER;
    tooz_conformance::main(
        harness("postgres-failures")
            .trial("postgres::a_wrong_password_is_an_error", own, a_wrong_password_is_an_error)
            .trial("postgres::missing_rights_are_an_error", own, missing_rights_are_an_error)
            .trial("postgres::a_missing_database_is_an_error", own, a_missing_database_is_an_error)
            .trial("postgres::a_read_only_server_is_an_error", own, a_read_only_server_is_an_error)
            .trial("postgres::too_many_connections_are_an_error", own, too_many_connections_are_an_error)
            .trial("postgres::a_terminated_connection_is_restored", own, a_terminated_connection_is_restored)
            .trial("postgres::a_lock_timeout_is_retryable", own, a_lock_timeout_is_retryable)
            .trial("postgres::a_deadlock_is_retryable", own, a_deadlock_is_retryable)
            .trial("postgres::settings_of_the_role_do_no_harm", own, settings_of_the_role_do_no_harm)
            .trial("postgres::a_full_disk_is_retryable", own, a_full_disk_is_retryable)
            .trial("postgres::pgbouncer_passes_sessions", own, pgbouncer_passes_sessions)
            .trial("postgres::a_dropped_schema_ends_sessions", own, a_dropped_schema_ends_sessions)
            .trial("postgres::a_closed_connection_ends_the_session", own, a_closed_connection_ends_the_session)
            .trial("postgres::dead_sessions_of_other_namespaces_are_removed", own, dead_sessions_are_removed),
    )
}

/// The URL for the role `app`.
fn as_app(context: &Context, rest: &str) -> String {
    context.url().replace("postgres@", "app:s3cret@") + rest
}

async fn fails(context: &Context, kind: ErrorKind, text: &str) -> Result<(), Failure> {
    match context.session("a").await {
        Ok(_) => fail!("the driver has connected; expected {kind:?}"),
        Err(error) => ensure!(error.to_string().contains(text) && !error.to_string().contains("s3cret"), "{error}"),
    }
    let url: ServiceUrl = context.url().parse()?;
    let opened = (DRIVER.open)(&url)?.open(&context.session_options("a")?).await;
    ensure_eq!(opened.err().map(|error| error.kind()), Some(kind));
    Ok(())
}

async fn a_wrong_password_is_an_error(context: Context) -> Result<(), Failure> {
    let admin = admin(&context).await?;
    let rules = "host all app 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust";
    let write = format!("COPY (SELECT unnest(string_to_array('{rules}', chr(10)))) TO PROGRAM 'cat > pg_hba.conf'");
    admin.batch_execute("CREATE ROLE app LOGIN PASSWORD 'another'").await?;
    admin.batch_execute(&write.replace('\n', "' || chr(10) || '")).await?;
    admin.batch_execute("SELECT pg_reload_conf()").await?;
    sleep(Duration::from_millis(300)).await;
    fails(&context.at(as_app(&context, "")), ErrorKind::AuthFailed, "user name or password").await?;
    let without = context.url().replace("postgres@", "app@");
    fails(&context.at(without), ErrorKind::AuthFailed, "asks for a password").await
}

/// The errors show the SQL that the owner of the database has to run.
async fn missing_rights_are_an_error(context: Context) -> Result<(), Failure> {
    let admin = admin(&context).await?;
    admin.batch_execute("CREATE ROLE app LOGIN; CREATE ROLE \"App 2\" LOGIN").await?;
    let app = context.at(as_app(&context, "?schema=of%20app"));
    fails(&app, ErrorKind::AuthFailed, "may not install the tables").await?;
    admin.batch_execute(&shown_sql(&app).await?).await?;
    drop(app.coordinator("a").await?.lock("l").acquire().await?);
    let other = context.at(context.url().replace("postgres@", "App%202@") + "?schema=of%20app");
    fails(&other, ErrorKind::AuthFailed, "may not use the tables").await?;
    admin.batch_execute("GRANT USAGE ON SCHEMA \"of app\" TO \"App 2\"").await?;
    fails(&other, ErrorKind::AuthFailed, "may not use the tables").await?;
    admin.batch_execute(&shown_sql(&other).await?).await?;
    drop(other.coordinator("a").await?.lock("l").acquire().await?);
    admin.batch_execute("REVOKE INSERT ON ALL TABLES IN SCHEMA \"of app\" FROM \"App 2\"").await?;
    fails(&other, ErrorKind::AuthFailed, "tooz doctor").await
}

/// The SQL in the error of a user who lacks rights.
async fn shown_sql(context: &Context) -> Result<String, Failure> {
    let error = context.session("a").await.err().map(|failure| failure.to_string()).unwrap_or_default();
    match (error.split_once(" run: "), error.rfind(';')) {
        (Some((message, _)), Some(end)) => Ok(error[message.len() + 6..end].to_owned()),
        _ => fail!("no SQL in: {error}"),
    }
}

async fn a_missing_database_is_an_error(context: Context) -> Result<(), Failure> {
    let elsewhere = context.at(context.url().replace("/postgres", "/missing").replace("//missing", "//postgres"));
    fails(&elsewhere, ErrorKind::InvalidOption, "no such database").await
}

async fn a_read_only_server_is_an_error(context: Context) -> Result<(), Failure> {
    let (admin, session) = (admin(&context).await?, context.session("a").await?);
    admin.batch_execute("ALTER SYSTEM SET default_transaction_read_only = on").await?;
    admin.batch_execute("SELECT pg_reload_conf()").await?;
    sleep(Duration::from_millis(300)).await;
    fails(&context, ErrorKind::Unavailable, "takes no writes").await?;
    let renewed = session.renew().await;
    ensure!(renewed.as_ref().is_err_and(Error::is_retryable), "{renewed:?}");
    admin.batch_execute("SET default_transaction_read_only = off").await?;
    admin.batch_execute("ALTER SYSTEM RESET ALL").await?;
    admin.batch_execute("SELECT pg_reload_conf()").await?;
    sleep(Duration::from_millis(300)).await;
    Ok(session.renew().await?)
}

async fn too_many_connections_are_an_error(context: Context) -> Result<(), Failure> {
    let admin = admin(&context).await?;
    admin.batch_execute("CREATE ROLE app LOGIN SUPERUSER; ALTER DATABASE postgres CONNECTION LIMIT 1").await?;
    admin.batch_execute("ALTER ROLE app NOSUPERUSER").await?;
    fails(&context.at(as_app(&context, "")), ErrorKind::Unavailable, "no connection left").await
}

async fn a_terminated_connection_is_restored(context: Context) -> Result<(), Failure> {
    let admin = admin(&context).await?;
    let (a, b) = (context.coordinator("a").await?, context.coordinator("b").await?);
    let held = a.lock("l").acquire().await?;
    let waiting = tokio::spawn(async move { b.lock("l").acquire().await.map(|guard| (b, guard)) });
    for _ in 0..3 {
        sleep(Duration::from_millis(200)).await;
        admin
            .query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'tooz %'", &[])
            .await?;
    }
    held.verify().await?;
    held.release().await?;
    drop(timeout(SOON, waiting).await???);
    Ok(())
}

fn roster() -> Result<Roster, Failure> {
    Ok(Roster { kind: Kind::Lock, name: Name::new("l")? })
}

fn new_entry() -> NewEntry<'static> {
    NewEntry {
        nonce: Nonce::random(),
        key: Key::Nonce,
        mode: Mode::Exclusive,
        limit: std::num::NonZeroU32::MIN,
        if_blocked: IfBlocked::Wait,
        needs_declared: false,
        value: b"",
    }
}

async fn enter(session: &dyn Session) -> tooz_core::Result<Standing> {
    session.enter(&Roster { kind: Kind::Lock, name: Name::new("l")? }, new_entry()).await
}

/// The lock of the roster, as a statement takes it.
fn lock_of(context: &Context) -> Result<String, Failure> {
    let (namespace, roster) = (context.namespace(), roster()?);
    Ok(format!("SELECT pg_advisory_xact_lock(tooz.lock_key('{namespace}', '{}', '{}'))", roster.kind, roster.name))
}

async fn a_lock_timeout_is_retryable(context: Context) -> Result<(), Failure> {
    let admin = admin(&context).await?;
    admin.batch_execute("ALTER ROLE postgres SET lock_timeout = '100ms'").await?;
    let session = context.session("a").await?;
    admin.batch_execute(&format!("BEGIN; {}", lock_of(&context)?)).await?;
    let error = enter(&*session).await.err();
    ensure!(error.as_ref().is_some_and(|error| error.to_string().contains("lock_timeout")), "{error:?}");
    ensure!(error.is_some_and(|error| error.is_retryable()));
    admin.batch_execute("COMMIT").await?;
    enter(&*session).await.map(drop)?;
    Ok(())
}

async fn a_deadlock_is_retryable(context: Context) -> Result<(), Failure> {
    let (admin, session) = (admin(&context).await?, context.session("a").await?);
    admin.batch_execute(&format!("SET deadlock_timeout = '1min'; BEGIN; {}", lock_of(&context)?)).await?;
    let entering = tokio::spawn(async move { (enter(&*session).await, session) });
    sleep(Duration::from_millis(300)).await;
    // The session's row is locked by the request, which waits for the roster.
    let circle = admin.batch_execute("SELECT FROM tooz.session FOR UPDATE; COMMIT");
    let (entered, _) = tokio::join!(entering, circle);
    let (entered, session) = entered?;
    ensure!(entered.as_ref().is_err_and(|error| error.to_string().contains("deadlock")), "{entered:?}");
    ensure!(entered.is_err_and(|error| error.is_retryable()));
    enter(&*session).await.map(drop)?;
    Ok(())
}

async fn settings_of_the_role_do_no_harm(context: Context) -> Result<(), Failure> {
    let admin = admin(&context).await?;
    for setting in [
        "default_transaction_isolation = serializable",
        "synchronous_commit = off",
        "search_path = pg_catalog",
        "bytea_output = escape",
        "standard_conforming_strings = off",
        "statement_timeout = 1",
    ] {
        admin.batch_execute(&format!("ALTER ROLE postgres SET {setting}")).await?;
    }
    let (a, b) = (context.coordinator("a").await?, context.coordinator("b").await?);
    let held = a.lock("l").acquire().await?;
    ensure!(b.lock("l").try_acquire().await?.is_none());
    held.release().await?;
    drop(b.lock("l").acquire().await?);
    Ok(())
}

/// PgBouncer in front of the server, on its host.
async fn pgbouncer_passes_sessions(context: Context) -> Result<(), Failure> {
    let (admin, server) = (admin(&context).await?, context.server()?.nodes()[0].port());
    let run = |command: &str| format!("COPY (SELECT '{command}') TO PROGRAM 'sh'");
    if admin.batch_execute(&run("command -v pgbouncer")).await.is_err() {
        return Err(Failure::ignored("the server has no pgbouncer; remove its image to have it built again"));
    }
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let config = format!(
        "[databases] *=host=127.0.0.1;port={server};user=postgres [pgbouncer] listen_addr=127.0.0.1 listen_port={port} \
         unix_socket_dir= auth_type=any pool_mode=session default_pool_size=2 pidfile=pooler.pid logfile=pooler.log"
    );
    // A line for each word, without the backslashes that COPY would repeat.
    let config = config.split(' ').map(|line| format!("echo \"{}\";", line.replace(';', " "))).collect::<String>();
    admin.batch_execute(&run(&format!("({config}) > pooler.ini; pgbouncer -d pooler.ini"))).await?;
    let is_up = async {
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            sleep(SOON / 1_000).await
        }
    };
    timeout(SOON, is_up).await?;
    let pooled = context.at(context.url().replace(&format!(":{server}/"), &format!(":{port}/")));
    let (a, b) = (pooled.coordinator("a").await?, pooled.coordinator("b").await?);
    let held = a.lock("l").acquire().await?;
    let waiting = tokio::spawn(async move { b.lock("l").acquire().await.map(|guard| (b, guard)) });
    sleep(Duration::from_millis(300)).await;
    held.release().await?;
    drop(timeout(SOON, waiting).await???);
    Ok(admin.batch_execute(&run("kill $(cat pooler.pid)")).await?)
}

/// The entries are on a file system of 64 MiB, which every container has of its own, and another program fills it.
async fn a_full_disk_is_retryable(context: Context) -> Result<(), Failure> {
    if !matches!(context.server()?.provision(), Provision::Container(_)) {
        return Err(Failure::ignored("only a container has a small file system"));
    }
    let (admin, session) = (admin(&context).await?, context.session("a").await?);
    let run = |command: &str| format!("COPY (SELECT) TO PROGRAM '{command}'");
    admin.batch_execute(&run("mkdir /dev/shm/small")).await?;
    admin.batch_execute("CREATE TABLESPACE small LOCATION '/dev/shm/small'").await?;
    admin.batch_execute("ALTER TABLE tooz.entry SET TABLESPACE small").await?;
    let ticket = match enter(&*session).await? {
        Standing::Admitted(ticket) => ticket,
        other => fail!("{other:?}"),
    };
    admin.batch_execute(&run("head -c 80M /dev/zero > /dev/shm/full || true")).await?;
    let full = fill(&*session).await;
    ensure!(full.as_ref().is_some_and(|error| error.to_string().contains("disk is full")), "{full:?}");
    ensure!(full.is_some_and(|error| error.is_retryable()));
    // What needs no space goes on.
    session.renew().await?;
    ensure!(session.leave(&roster()?, &ticket).await?);
    admin.batch_execute(&run("rm /dev/shm/full")).await?;
    drop(context.coordinator("b").await?.lock("l").acquire().await?);
    Ok(())
}

/// Enters groups until the server refuses.
async fn fill(session: &dyn Session) -> Option<Error> {
    for _ in 0..1_000 {
        let (roster, value) = (Roster { kind: Kind::Group, name: Name::new("g").ok()? }, [7; 1_500]);
        if let Err(error) = session.enter(&roster, NewEntry { mode: Mode::Member, value: &value, ..new_entry() }).await
        {
            return Some(error);
        }
    }
    None
}

async fn a_dropped_schema_ends_sessions(context: Context) -> Result<(), Failure> {
    let (admin, a) = (admin(&context).await?, context.coordinator("a").await?);
    let held = a.lock("l").acquire().await?;
    admin.batch_execute("DROP SCHEMA tooz CASCADE").await?;
    admin
        .query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'tooz %'", &[])
        .await?;
    timeout(SOON, held.lost()).await?;
    let again = timeout(SOON, context.coordinator("b").await?.lock("l").acquire()).await??;
    ensure!(
        again.fencing_token() > held.fencing_token(),
        "{} is not above {}",
        again.fencing_token(),
        held.fencing_token()
    );
    Ok(())
}

async fn a_closed_connection_ends_the_session(context: Context) -> Result<(), Failure> {
    let context = context.at(format!("{}?liveness=connection", context.url())).with_ttl(Duration::from_secs(60));
    let admin = admin(&context.at(context.url().replace("?liveness=connection", ""))).await?;
    let (a, b) = (context.coordinator("a").await?, context.coordinator("b").await?);
    let held = a.lock("l").acquire().await?;
    let waiting = tokio::spawn(async move { b.lock("l").acquire().await.map(|guard| (b, guard)) });
    // The ring is looked at anew every third of the TTL, so the second session is watched by the first one by then.
    sleep(Duration::from_secs(1)).await;
    let ended = "SELECT pg_terminate_backend(backend) FROM tooz.session WHERE member = 'a'";
    admin.query(ended, &[]).await?;
    drop(timeout(SOON, waiting).await???);
    timeout(SOON, held.lost()).await?;
    Ok(())
}

async fn dead_sessions_are_removed(context: Context) -> Result<(), Failure> {
    let admin = admin(&context).await?;
    for _ in 0..5 {
        let session = context.in_another_namespace().with_ttl(Duration::from_millis(200)).session("a").await?;
        enter(&*session).await.map(drop)?;
    }
    sleep(Duration::from_millis(500)).await;
    let _session = context.session("b").await?;
    let mut rest = (0i64, 0i64);
    for _ in 0..100 {
        let row = admin
            .query_one("SELECT (SELECT count(*) FROM tooz.session), (SELECT count(*) FROM tooz.entry)", &[])
            .await?;
        rest = (row.get(0), row.get(1));
        if rest == (1, 0) {
            return Ok(());
        }
        sleep(Duration::from_millis(50)).await;
    }
    fail!("{rest:?} sessions and entries are left")
}
