//! Notifications from the server: subscriptions, the waiters that they wake, and the losses that they report.

mod followers;
mod own_entries;
mod subscriptions;
mod wakeups;

pub(crate) use self::followers::Notice;
pub(crate) use self::subscriptions::Subscriptions;
pub(crate) use self::wakeups::Wakeup;
