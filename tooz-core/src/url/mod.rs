//! URLs that choose a backend, and their typed options.

mod options;
mod service_url;
mod suggestion;

pub use self::options::{OptionReader, OptionValue};
pub use self::service_url::{Host, ServiceUrl};
pub(crate) use self::suggestion::did_you_mean;
