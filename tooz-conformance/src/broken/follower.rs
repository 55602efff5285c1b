//! A follower with a fault.

use async_trait::async_trait;
use tooz_core::Result;
use tooz_core::driver::{Change, Follow, Update};

use super::fault::FaultKind as F;

pub(super) struct BrokenFollower<'a> {
    inner: Box<dyn Follow + 'a>,
    fault: F,
    told: u32,
    withheld: Option<Change>,
}

impl<'a> BrokenFollower<'a> {
    pub(super) fn new(inner: Box<dyn Follow + 'a>, fault: F) -> Self {
        Self { inner, fault, told: 0, withheld: None }
    }

    fn falsified(&mut self, change: Change) -> Vec<Change> {
        self.told += 1;
        match self.fault {
            F::ForgetsADeparture if self.told == 1 && matches!(change, Change::Left(_)) => Vec::new(),
            F::MissesChanges if self.told.is_multiple_of(3) => Vec::new(),
            F::RepeatsChanges => vec![change.clone(), change],
            F::ReordersChanges => match self.withheld.take() {
                Some(earlier) => vec![change, earlier],
                None => {
                    self.withheld = Some(change);
                    Vec::new()
                }
            },
            _ => vec![change],
        }
    }
}

#[async_trait]
impl Follow for BrokenFollower<'_> {
    async fn next(&mut self) -> Result<Update> {
        loop {
            match self.inner.next().await? {
                Update::Changes(changes) => {
                    let changes: Vec<_> = changes.into_iter().flat_map(|change| self.falsified(change)).collect();
                    if !changes.is_empty() {
                        return Ok(Update::Changes(changes));
                    }
                }
                other => return Ok(other),
            }
        }
    }
}
