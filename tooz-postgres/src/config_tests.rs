//! URLs and what they mean.

use super::*;

fn read(text: &str) -> Result<Config> {
    Config::from_url(&text.parse()?)
}

#[test]
fn a_url_names_host_user_and_database() {
    let config = read("postgres://me:s3cret@[::1]:5433,other/db?application_name=it's&connect_timeout=3").unwrap();
    assert_eq!((config.server.get_user(), config.server.get_dbname()), (Some("me"), Some("db")));
    assert_eq!(config.server.get_ports(), [5433, 5432]);
    assert_eq!(config.server.get_application_name(), Some("it's"));
    assert_eq!(config.server.get_target_session_attrs(), TargetSessionAttrs::ReadWrite);
    assert_eq!(config.address, "::1:5433,other:5432");
    assert!(!format!("{config:?}").contains("s3cret"));
}

#[test]
fn a_socket_is_named_in_the_option_or_the_host() {
    for text in ["postgresql:///db?host=/run/postgresql&user=me", "postgresql://me@%2Frun%2Fpostgresql/db"] {
        let config = read(text).unwrap();
        let path = tokio_postgres::config::Host::Unix("/run/postgresql".into());
        assert_eq!((config.server.get_hosts(), config.server.get_user()), (&[path][..], Some("me")));
    }
}

#[test]
fn what_cannot_be_meant_is_refused() {
    for text in [
        "postgres://h?host=other",
        "postgres://h?sslmode=allow",
        "postgres://h?target_session_attrs=read-only",
        "postgres://h?connect_timeout=soon",
        "postgres://h?liveness=none",
        "postgres://h?port=70000",
        "postgres://h?passfile=/missing",
        "postgres://h?shema=x",
    ] {
        assert_eq!(read(text).unwrap_err().kind(), ErrorKind::InvalidOption, "{text}");
    }
}
