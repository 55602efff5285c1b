//! Connects the examples to the backend that the variable `TOOZ_BACKEND` names, or to a directory of the user.

use tooz::{Coordinator, Result};

/// The URL in `TOOZ_BACKEND`, or a directory of this user, so that the user's examples meet each other. Where the file driver
/// does not build, it is the memory of the process.
///
/// The server drivers are features: `cargo run -p tooz-examples --features redis --example quickstart`.
pub fn backend_url() -> String {
    std::env::var("TOOZ_BACKEND").unwrap_or_else(|_| {
        if !tooz::registry().schemes().contains(&"file") {
            return "memory://examples".to_owned();
        }
        let user = std::env::var("USER").unwrap_or_else(|_| "user".to_owned());
        let directory = std::env::temp_dir().join(format!("tooz-examples-{user}"));
        format!("file://{}", directory.display())
    })
}

/// Connects to [`backend_url`].
///
/// # Errors
/// As [`tooz::Builder::connect`].
pub async fn connect() -> Result<Coordinator> {
    Coordinator::builder(backend_url()).namespace("tooz-examples").connect().await
}
