//! URLs that choose a backend, and their typed options.

mod options;
mod service_url;

pub use self::options::{OptionReader, OptionValue};
pub use self::service_url::{Host, ServiceUrl};
