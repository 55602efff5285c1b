//! PostgreSQL: role, connections, the settings that lose locks or end sessions, a pooler in between, and the rights.

use std::io;

use tokio::time::timeout;
use tokio_postgres::{Client, Config, NoTls, Row};
use tooz::{Host, ServiceUrl};

use super::super::check::Check;
use super::wire::LIMIT;

/// The share of the connections above which a warning comes: each session has one.
const CROWDED: f64 = 0.8;
/// Of a database that every pooler of the name PgBouncer has, and no server.
const POOLER: &str = "pgbouncer";

/// Settings of the server, as the user of the URL sees them.
const SETTINGS: &str = "SELECT current_setting('server_version') AS version, pg_is_in_recovery() AS is_standby,
    (SELECT sum(numbackends)::float8 FROM pg_stat_database) AS used, current_setting('max_connections')::float8 AS most,
    current_setting('fsync') AS fsync, current_setting('synchronous_commit') AS commit,
    current_setting('synchronous_standby_names') AS synchronous, (SELECT count(*) FROM pg_stat_replication) AS standbys,
    coalesce(current_setting('idle_session_timeout', true), '0') AS idle,
    current_setting('statement_timeout') AS statement, current_setting('lock_timeout') AS lock,
    quote_ident(current_user) AS me, quote_ident($1) AS schema,
    has_database_privilege(current_database(), 'CREATE') AS may_create,
    (SELECT has_schema_privilege(oid, 'USAGE') FROM pg_namespace WHERE nspname = $1) AS may_use";

pub(super) async fn examine(host: &Host, url: &ServiceUrl) -> io::Result<Vec<Check>> {
    let options = url.options();
    let option = |name| options.get::<String>(name).ok().flatten();
    if !matches!(option("sslmode").as_deref(), None | Some("disable" | "prefer")) {
        return Err(io::Error::other("it is not asked without TLS, which the URL wants"));
    }
    let mut config = Config::new();
    config.host(&host.name).port(host.port.unwrap_or(5432));
    url.username().map(str::to_owned).or(option("user")).map(|user| config.user(user));
    url.password().map(str::to_owned).or(option("password")).map(|password| config.password(password));
    let path = url.path().trim_start_matches('/');
    Some(path).filter(|path| !path.is_empty()).map(str::to_owned).or(option("dbname")).map(|name| config.dbname(name));
    let schema = option("schema").unwrap_or_else(|| "tooz".to_owned());
    let settings = connect(&config).await?.query_one(SETTINGS, &[&schema]).await.map_err(io::Error::other)?;
    let address = host.with_default_port(5432);
    let mut checks = checks(&address, &settings).map_err(io::Error::other)?;
    let pooler = match connect(config.dbname(POOLER)).await {
        Ok(_) => true,
        // «not allowed»: a server would say that there is no such database.
        Err(error) => error.to_string().contains("not allowed"),
    };
    if pooler {
        let advice = "let it pool by session (pool_mode = session), and leave its client_idle_timeout at 0";
        checks.push(Check::warn("pooler", "PgBouncer is in between", advice));
    }
    Ok(checks)
}

async fn connect(config: &Config) -> io::Result<Client> {
    let (client, connection) = timeout(LIMIT, config.connect(NoTls)).await?.map_err(io::Error::other)?;
    tokio::spawn(connection);
    Ok(client)
}

fn checks(address: &str, row: &Row) -> Result<Vec<Check>, tokio_postgres::Error> {
    let text = |column: &str| row.try_get::<_, String>(column);
    let role = if row.try_get("is_standby")? { "standby" } else { "primary" };
    let mut checks = vec![Check::ok(format!("server {address}"), format!("PostgreSQL {}, {role}", text("version")?))];
    checks.push(connections(row.try_get("used")?, row.try_get("most")?));
    checks.push(durability(&text("fsync")?, &text("commit")?));
    checks.push(standbys(row.try_get("standbys")?, &text("synchronous")?));
    checks.push(timeouts(&text("idle")?, &text("statement")?, &text("lock")?));
    checks.push(rights(&text("me")?, &text("schema")?, row.try_get("may_create")?, row.try_get("may_use")?));
    Ok(checks)
}

fn connections(used: f64, most: f64) -> Check {
    let result = format!("{used} of {most} in use");
    match used > most * CROWDED {
        true => Check::warn("max_connections", result, "raise max_connections: each session of tooz has a connection"),
        false => Check::ok("max_connections", result),
    }
}

fn durability(fsync: &str, commit: &str) -> Check {
    let result = format!("fsync {fsync}, synchronous_commit {commit}");
    match (fsync, commit) {
        ("off", _) => Check::warn("durability", result, "set fsync to on: a crash loses locks that clients hold"),
        (_, "off") => Check::ok("durability", result + "; tooz sets it to on for its own connections"),
        (_, "local") => Check::warn("durability", result, "set synchronous_commit to on: a failover loses locks"),
        _ => Check::ok("durability", result),
    }
}

fn standbys(count: i64, synchronous: &str) -> Check {
    match (count, synchronous) {
        (0, _) => Check::ok("standbys", "none"),
        (count, "") => {
            let advice = "set synchronous_standby_names: a failover loses locks that clients hold";
            Check::warn("standbys", format!("{count}, none of them synchronous"), advice)
        }
        (count, names) => Check::ok("standbys", format!("{count}, synchronous: {names}")),
    }
}

fn timeouts(idle: &str, statement: &str, lock: &str) -> Check {
    let result = format!("idle_session_timeout {idle}, lock_timeout {lock}, statement_timeout {statement}");
    match idle {
        "0" => Check::ok("timeouts", result + "; tooz sets its own statement_timeout"),
        _ => Check::warn("timeouts", result, "set idle_session_timeout to 0 for this user: it ends idle connections"),
    }
}

/// What the owner of the database runs for users who may not create the schema, or not use it: `may_use` is `None` if it
/// does not exist.
fn rights(me: &str, schema: &str, may_create: bool, may_use: Option<bool>) -> Check {
    let grants = |user: &str| {
        format!(
            "GRANT USAGE ON SCHEMA {schema} TO {user}; \
             GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {user}; \
             GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA {schema} TO {user};"
        )
    };
    match (may_use, may_create) {
        (Some(true), _) | (None, true) => {
            let result = format!("{me} may use the schema {schema}; for another user run: {}", grants("app"));
            Check::ok("rights", result)
        }
        (Some(false), _) => Check::warn(
            "rights",
            format!("{me} may not use the schema {schema}"),
            format!("let its owner run: {}", grants(me)),
        ),
        (None, false) => {
            let advice = format!("let the owner of the database run: CREATE SCHEMA {schema} AUTHORIZATION {me};");
            Check::warn("rights", format!("{me} may not create the schema {schema}"), advice)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::check::Verdict::{Ok, Warn};

    #[test]
    fn settings_that_lose_locks_or_sessions_are_warnings() {
        assert_eq!([connections(5.0, 100.0), connections(90.0, 100.0)].map(|check| check.verdict), [Ok, Warn]);
        let commits = [("on", "on"), ("on", "off"), ("on", "local"), ("off", "on")];
        assert_eq!(commits.map(|(fsync, commit)| durability(fsync, commit).verdict), [Ok, Ok, Warn, Warn]);
        assert_eq!([(0, ""), (1, ""), (1, "b")].map(|(count, names)| standbys(count, names).verdict), [Ok, Warn, Ok]);
        assert_eq!(["0", "1min"].map(|idle| timeouts(idle, "0", "0").verdict), [Ok, Warn]);
    }

    #[test]
    fn users_without_rights_are_shown_what_the_owner_runs() {
        let advice = |may_create, may_use| rights("app", "tooz", may_create, may_use).advice.unwrap_or_default();
        assert!(advice(false, None).ends_with("CREATE SCHEMA tooz AUTHORIZATION app;"));
        assert!(advice(true, Some(false)).contains("GRANT USAGE ON SCHEMA tooz TO app;"));
        assert_eq!([advice(true, None), advice(false, Some(true))], ["", ""]);
    }
}
