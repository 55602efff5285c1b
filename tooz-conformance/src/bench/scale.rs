//! The part `scale`: each row of [`crate::scale`].

use super::run::Bench;
use crate::scale::{ROWS, Scaling, print};

/// Measures all rows, and prints each as progress. In a short run only small sizes.
pub(super) async fn rows(bench: &Bench) -> Vec<Scaling> {
    let (greatest, watchers) = if bench.full { (u64::MAX, 100) } else { (10, 3) };
    let mut measured = Vec::new();
    for row in &ROWS {
        let scaling = Scaling::measure(row, greatest, watchers, || bench.fresh()).await;
        print(&scaling);
        measured.push(scaling);
    }
    measured
}
