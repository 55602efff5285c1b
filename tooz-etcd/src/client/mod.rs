//! Everything that sends requests to etcd: connections and fail-over, TLS, transactions, the lease and the watches.

mod connect_options;
mod connection;
mod history;
mod lease;
mod txn;
mod watch_mux;
mod watches;

pub(crate) use etcd_client::{
    Compare, GetOptions, KeyValue, SortOrder, SortTarget, Txn, TxnOp, WatchFilterType as Filter,
};

pub(crate) use self::connect_options::SUPPORTS_TLS;
pub(crate) use self::connection::Client;
pub(crate) use self::history::History;
pub(crate) use self::lease::Lease;
pub(crate) use self::txn::{
    Answer, KeyRange, absent, created_at, delete, delete_range, exists, get_key, is_deleted, is_empty,
    none_created_after, put, rewrite, unmodified_since,
};
pub(crate) use self::watches::{Subscription, Watches};
