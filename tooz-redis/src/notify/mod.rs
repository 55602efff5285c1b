//! Notifications from the server: subscriptions, the waiters that they wake, and the losses that they report.

mod followers;
mod subscriptions;

pub(crate) use self::followers::Notice;
pub(crate) use self::subscriptions::Subscriptions;
