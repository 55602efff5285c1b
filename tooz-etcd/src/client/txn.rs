//! The transactions of the driver: key ranges, the comparisons and operations in use, and the answer.

use std::vec::IntoIter;

use etcd_client::{
    Compare, CompareOp, DeleteOptions, GetOptions, KeyValue, PutOptions, TxnOp, TxnOpResponse, TxnResponse,
};
use tooz_core::Result;

use crate::error::unexpected_answer;

/// The keys from `start` to before `end`; an empty `end` means `start` alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct KeyRange {
    pub(crate) start: Vec<u8>,
    pub(crate) end: Vec<u8>,
}

impl KeyRange {
    pub(crate) fn key(key: impl Into<Vec<u8>>) -> Self {
        Self { start: key.into(), end: Vec::new() }
    }

    /// All keys that begin with `prefix`, which ends in a slash.
    pub(crate) fn under(prefix: String) -> Self {
        let mut end = prefix.clone().into_bytes();
        if let Some(last) = end.last_mut() {
            *last += 1;
        }
        Self { start: prefix.into_bytes(), end }
    }

    /// Reads the range, in the order of the keys unless the options say otherwise.
    pub(crate) fn get(self, options: GetOptions) -> TxnOp {
        TxnOp::get(self.start, Some(options.with_range(self.end)))
    }

    /// Reads the range without the values.
    pub(crate) fn get_keys(self) -> TxnOp {
        self.get(GetOptions::new().with_keys_only())
    }
}

/// Whether a watch event tells that the key was deleted. Such an event carries the key and the revision only.
pub(crate) fn is_deleted(event: &KeyValue) -> bool {
    event.version() == 0
}

/// What a transaction has done, and what its reads have found.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Whether all comparisons were true.
    pub(crate) succeeded: bool,
    /// The revision of the store after the transaction.
    pub(crate) revision: i64,
    reads: IntoIter<Vec<KeyValue>>,
}

impl Answer {
    pub(crate) fn new(response: &TxnResponse) -> Result<Self> {
        let found = response.op_responses().into_iter().filter_map(|response| match response {
            TxnOpResponse::Get(mut found) => Some(found.take_kvs()),
            _ => None,
        });
        Ok(Self {
            succeeded: response.succeeded(),
            revision: response.header().ok_or_else(unexpected_answer)?.revision(),
            reads: found.collect::<Vec<_>>().into_iter(),
        })
    }

    /// The key-values that the next read of the transaction found.
    pub(crate) fn next_read(&mut self) -> Result<Vec<KeyValue>> {
        self.reads.next().ok_or_else(unexpected_answer)
    }
}

/// True if the key exists.
pub(crate) fn exists(key: &[u8]) -> Compare {
    Compare::create_revision(key, CompareOp::Greater, 0)
}

/// True if the key does not exist.
pub(crate) fn absent(key: &[u8]) -> Compare {
    created_at(key, 0)
}

/// True if the key exists since this revision.
pub(crate) fn created_at(key: &[u8], revision: i64) -> Compare {
    Compare::create_revision(key, CompareOp::Equal, revision)
}

/// True if the key was last written at this revision.
pub(crate) fn unmodified_since(key: &[u8], revision: i64) -> Compare {
    Compare::mod_revision(key, CompareOp::Equal, revision)
}

/// True if the range has no key.
pub(crate) fn is_empty(range: KeyRange) -> Compare {
    none_created_after(range, 0)
}

/// True if no key was added to the range after `revision`; keys may have left it. etcd compares an empty range as if it had
/// a key with create revision 0.
pub(crate) fn none_created_after(range: KeyRange, revision: i64) -> Compare {
    Compare::create_revision(range.start, CompareOp::Less, revision.saturating_add(1)).with_range(range.end)
}

/// Writes the key and binds it to the lease, if there is one.
pub(crate) fn put(key: &[u8], value: &[u8], lease: Option<i64>) -> TxnOp {
    TxnOp::put(key, value, lease.map(|lease| PutOptions::new().with_lease(lease)))
}

/// Writes the key with its present value and lease; fails if the key does not exist.
pub(crate) fn rewrite(key: &[u8]) -> TxnOp {
    TxnOp::put(key, b"", Some(PutOptions::new().with_ignore_value().with_ignore_lease()))
}

pub(crate) fn delete(key: &[u8]) -> TxnOp {
    TxnOp::delete(key, None)
}

pub(crate) fn delete_range(range: KeyRange) -> TxnOp {
    TxnOp::delete(range.start, Some(DeleteOptions::new().with_range(range.end)))
}

/// Reads one key without its value.
pub(crate) fn get_key(key: &[u8]) -> TxnOp {
    KeyRange::key(key).get_keys()
}
