//! The durable existence of rosters: declaring, retracting and listing them; and the lists of names in use.

use std::convert::Infallible;

use tooz_core::driver::support::{group_not_created, group_not_empty};
use tooz_core::driver::{Kind, NewName, Roster};
use tooz_core::{Name, Result};

use crate::client::Reply;
use crate::layout::{NEW_NAMES, new_name, unreadable};
use crate::session::PostgresSession;

const DECLARE: &str = "SELECT declare_roster($1, $2, $3)";
const RETRACT: &str = "SELECT retract_roster($1, $2, $3)";
const NAMES: &str = "SELECT * FROM names($1, $2, $3, $4)";
const DECLARED: &str = "SELECT * FROM declared_rosters($1, $2)";

impl PostgresSession {
    pub(crate) async fn declare_roster(&self, roster: &Roster) -> Result<bool> {
        self.core.call_on(DECLARE, roster, &[]).await?.is_done()
    }

    pub(crate) async fn retract_roster(&self, roster: &Roster) -> Result<()> {
        let reply = self.core.call_on(RETRACT, roster, &[]).await?;
        match reply.status() {
            "UNDECLARED" => Err(group_not_created()),
            "NOT_EMPTY" => Err(group_not_empty()),
            _ => reply.is_done().map(drop),
        }
    }

    pub(crate) async fn declared_rosters(&self, kind: Kind) -> Result<Vec<Name>> {
        names(&self.core.call(DECLARED, &[&kind.as_str()]).await?)
    }

    pub(crate) async fn watch_new_names(&self, added: &(dyn Fn(NewName) + Send + Sync)) -> Result<Infallible> {
        let (kind, name) = (NEW_NAMES.0, Name::new(NEW_NAMES.1)?);
        loop {
            let mut notifications = self.core.watch(kind, &name).await?;
            added(NewName::Any);
            // An error says that notifications may have been missed.
            while let Ok(notification) = notifications.recv().await {
                added(new_name(&notification).ok_or_else(unreadable)?);
            }
        }
    }

    /// One page of the names in use, in their order as bytes.
    pub(crate) async fn read_names(&self, kind: &str, after: Option<&Name>, limit: usize) -> Result<Vec<Name>> {
        let after = after.map(Name::as_bytes).unwrap_or_default();
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        names(&self.core.call(NAMES, &[&kind, &after, &limit]).await?)
    }
}

fn names(reply: &Reply) -> Result<Vec<Name>> {
    (0..reply.len()).map(|row| Name::new(reply.get::<&[u8]>(row, "name")?)).collect()
}
