//! Reading what is in the backend: objects of all kinds, as values that are printed or shown.

mod kind;
mod listing;
mod object;
mod view;

pub(crate) use self::kind::Kind;
pub(crate) use self::listing::names;
pub(crate) use self::object::{Object, Summary};
pub(crate) use self::view::{MemberView, ParticipantView, QueueView};
