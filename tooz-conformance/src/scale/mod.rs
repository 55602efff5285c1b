//! How the cost of an event grows with the number of clients, entries or messages: one [`Row`] for each kind of event.
//!
//! A row prepares a number of clients or entries, its size, and measures one event in their presence: requests by the
//! statistics of the servers, bytes by a proxy between clients and servers, and time. `cargo bench -- --only scale`
//! measures each row at several sizes and prints how each quantity grows with the size; the trials `scale::*` check small
//! sizes.

mod growth;
mod meter;
mod population;
mod row;
mod rows;
mod setting;
mod table;

pub(crate) use self::population::Pattern;
pub(crate) use self::row::{CANDIDATES, CHANGES, IDLE_WATCHERS, NEW_WATCHERS, RESTARTS, ROWS, Row, SUBSCRIBERS};
pub(crate) use self::rows::coordinators::{ROLE as COORDINATORS_ROLE, connect as connect_coordinators};
pub(crate) use self::setting::Setting;
pub(crate) use self::table::{Scaling, print};
