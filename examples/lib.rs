//! The backend of the examples: that of the URL in `TOOZ_BACKEND`, or a directory of the user.

/// The URL in `TOOZ_BACKEND`, or a directory of this user, so that all examples of the user share their objects. Where the
/// file driver does not build, it is the memory of the process.
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
