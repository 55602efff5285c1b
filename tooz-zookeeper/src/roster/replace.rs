//! Replacing the value of an entry, which keeps its position.

use tooz_core::driver::support::not_held;
use tooz_core::driver::{Roster, Ticket};

use super::rosters::Rosters;
use crate::error::{Answer, Fault};
use crate::limits::check_size;

impl Rosters {
    pub(crate) async fn replace(&self, roster: &Roster, ticket: &Ticket, value: &[u8]) -> Answer<()> {
        self.client.check()?;
        let parent = self.layout.roster(roster);
        check_size(&parent, value)?;
        let path = self.find(&parent, ticket).ok_or_else(not_held)?;
        match self.client.set_data(&path, value, None).await {
            Err(Fault::NoNode) => Err(not_held().into()),
            outcome => outcome.map(drop),
        }
    }
}
