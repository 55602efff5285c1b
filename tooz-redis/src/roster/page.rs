//! Reading a page of a roster.

use tooz_core::Result;
use tooz_core::driver::Entry;

use crate::client::SNAPSHOT;
use crate::layout::{ShardKey, parse_record};
use crate::session::RedisSession;

/// A page of a roster.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) declared: bool,
    /// The version after the last change, if the roster is followed.
    pub(super) version: u64,
    pub(super) is_last: bool,
    pub(super) entries: Vec<Entry>,
}

impl RedisSession {
    /// Reads the first page, or the one after an entry. While a roster is followed, its changes are published.
    pub(super) async fn read_page(&self, key: &ShardKey, follows: bool, after: Option<&Entry>) -> Result<Page> {
        let mut args: Vec<&[u8]> = vec![if follows { b"follow" } else { b"" }];
        let place = after.map(|entry| (entry.mode.as_str(), entry.seq.to_string()));
        args.extend(place.iter().flat_map(|(mode, seq)| [mode.as_bytes(), seq.as_bytes()]));
        let mut reply = self.run(&SNAPSHOT, key, &args).await?;
        let (declared, version, is_last) = (reply.number()? == 1, reply.natural()?, reply.number()? == 1);
        let mut entries = Vec::new();
        while let Some(record) = reply.bytes() {
            entries.push(parse_record(&record)?);
        }
        Ok(Page { declared, version, is_last, entries })
    }
}
