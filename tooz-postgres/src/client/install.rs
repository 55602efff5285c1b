//! The installation of the schema, by steps: each step brings the schema from one version to the next.
//!
//! The first client that may create schemas installs it, in one transaction. Later clients find the version in the table
//! `installation`. A schema that is newer than this driver serves it too, since steps only add.

use tokio_postgres::Client;
use tokio_postgres::error::{Error as Native, SqlState};
use tooz_core::Result;

use crate::config::Config;
use crate::error::{from_native, lacks_rights, not_installed};

const STEPS: [&str; 1] = [concat!(
    include_str!("../sql/tables.sql"),
    include_str!("../sql/sessions.sql"),
    include_str!("../sql/rosters.sql"),
    include_str!("../sql/topics.sql"),
)];

/// Clients that install at the same time wait for each other by this advisory lock.
const LOCK: &str = "SELECT pg_advisory_xact_lock(hashtext('tooz installation'))";

/// The user's name, and whether the schema exists, which every user may know.
const WHO: &str = "SELECT quote_ident(current_user), EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)";

/// Brings the schema to the version of this driver.
pub(super) async fn install(client: &Client, config: &Config) -> Result<()> {
    let native = |error| from_native(error, &config.address);
    let installed = match version(client).await {
        Ok(version) if version >= STEPS.len() => return Ok(()),
        Ok(_) => run_steps(client, config).await,
        Err(error) => Err(error),
    };
    match installed {
        Err(error) if lacks_rights(&error) => {
            client.batch_execute("ROLLBACK").await.map_err(native)?;
            let who = client.query_one(WHO, &[&config.schema]).await.map_err(native)?;
            Err(not_installed(error, config, who.get(0), who.get(1)))
        }
        installed => installed.map_err(native),
    }
}

async fn run_steps(client: &Client, config: &Config) -> Result<(), Native> {
    // Without IF NOT EXISTS, which asks for the right to create a schema that exists.
    let create = format!("CREATE SCHEMA {}", config.quoted_schema());
    client.batch_execute(&format!("BEGIN; {LOCK}")).await?;
    if client.query("SELECT FROM pg_namespace WHERE nspname = $1", &[&config.schema]).await?.is_empty() {
        client.batch_execute(&create).await?;
    }
    let exists: bool = client.query_one("SELECT to_regclass('installation') IS NOT NULL", &[]).await?.get(0);
    let version = if exists { version(client).await? } else { 0 };
    for step in STEPS.iter().skip(version) {
        client.batch_execute(step).await?;
    }
    let done = format!("UPDATE installation SET version = greatest(version, {}); COMMIT", STEPS.len());
    client.batch_execute(&done).await
}

/// The version of the schema; 0 if there is none.
async fn version(client: &Client) -> Result<usize, Native> {
    match client.query_one("SELECT version FROM installation", &[]).await {
        Ok(row) => Ok(row.try_get::<_, i32>(0)?.try_into().unwrap_or_default()),
        Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => Ok(0),
        Err(error) => Err(error),
    }
}
