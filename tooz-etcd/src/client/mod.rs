//! Everything that sends requests to etcd: connections and fail-over, TLS, transactions, the lease and the watches.

mod connect_options;
mod connection;
mod history;
mod lease;
mod txn;
mod watch_mux;
mod watches;

pub(crate) use etcd_client::{Compare, KeyValue, Txn, TxnOp};

pub(crate) use self::connect_options::SUPPORTS_TLS;
pub(crate) use self::connection::Client;
pub(crate) use self::history::History;
pub(crate) use self::lease::Lease;
pub(crate) use self::txn::{
    Answer, KeyRange, absent, created_at, delete, delete_range, exists, get, get_created_after, get_created_at,
    get_first_keys, get_key, get_keys, get_page, is_empty, nearest_first, none_created_after, put, rewrite,
    unmodified_since,
};
pub(crate) use self::watch_mux::{KeyEvent, Report};
pub(crate) use self::watches::{Subscription, Watches};
