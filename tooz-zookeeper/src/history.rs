//! Notices that the servers have another history than before, because they were emptied or restored.
//!
//! - Zxids only rise in one history. A write that is answered with a zxid below one that was known before the write was sent
//!   belongs to another history.
//! - The znode above the heartbeats of a namespace is created once. Another creation zxid means that the servers were emptied,
//!   even if their zxids have passed the known ones since.

use std::collections::HashMap;
use std::sync::Mutex;

use tooz_core::driver::support::lock;

/// What all sessions of a driver know of the servers' history.
#[derive(Debug, Default)]
pub(crate) struct History(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// Rises with each other history.
    number: u64,
    /// The greatest zxid of this history.
    zxid: i64,
    /// The creation zxids of the znodes above the heartbeats.
    roots: HashMap<String, i64>,
}

/// What was known before a write was sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Before {
    number: u64,
    zxid: i64,
}

impl History {
    /// Call it before a write is sent.
    pub(crate) fn before_write(&self) -> Before {
        let known = lock(&self.0);
        Before { number: known.number, zxid: known.zxid }
    }

    /// Records the zxid of a write and the creation zxid of the znode `root`. Returns the number of the history.
    pub(crate) fn after_open(&self, before: Before, zxid: i64, root: &str, root_zxid: i64) -> u64 {
        let number = self.after_write(before, zxid);
        let mut known = lock(&self.0);
        if known.roots.get(root).is_some_and(|earlier| *earlier != root_zxid) && known.number == number {
            known.begin(zxid);
        }
        known.roots.insert(root.to_owned(), root_zxid);
        known.number
    }

    /// Records the zxid of a write. Returns the number of the history that it belongs to.
    pub(crate) fn after_write(&self, before: Before, zxid: i64) -> u64 {
        let mut known = lock(&self.0);
        if known.number == before.number {
            match zxid > before.zxid {
                true => known.zxid = known.zxid.max(zxid),
                false => known.begin(zxid),
            }
        }
        known.number
    }
}

impl Known {
    fn begin(&mut self, zxid: i64) {
        self.number += 1;
        self.zxid = zxid;
        self.roots.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_smaller_zxid_is_another_history() {
        let history = History::default();
        let before = history.before_write();
        assert_eq!(history.after_write(before, 100), 0);
        // An answer that was overtaken is not smaller than what was known when its write was sent.
        assert_eq!(history.after_write(before, 90), 0);
        assert_eq!(history.after_write(history.before_write(), 90), 1);
        assert_eq!(history.after_write(history.before_write(), 91), 1);
    }

    #[test]
    fn another_root_is_another_history() {
        let history = History::default();
        assert_eq!(history.after_open(history.before_write(), 100, "/a", 7), 0);
        assert_eq!(history.after_open(history.before_write(), 200, "/b", 8), 0);
        assert_eq!(history.after_open(history.before_write(), 300, "/a", 9), 1);
        assert_eq!(history.after_open(history.before_write(), 400, "/a", 9), 1);
    }
}
