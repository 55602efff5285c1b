//! The benchmark: a driver and raw calls of its backend's client, measured in turn in one run.
//!
//! A driver's `benches/floor.rs` (with `harness = false`) hands its [`Harness`](crate::Harness) and its [`Floor`] to
//! [`main`]. `cargo bench` measures; without `--bench` the program only shows that each figure can be taken. Arguments:
//! `--json FILE` and `--svg FILE` also write the outcome to a file; `--only PART` measures one part: pairs, hand-over,
//! size, memory, groups, topics or scale.
//!
//! The part `scale` runs only if it is named. It shows how the cost of each event grows with the clients or entries. It
//! counts requests where the [`Product`](crate::servers::Product) of the servers says where their statistics are.

mod arguments;
mod chart;
mod entry;
mod figure;
mod floor;
mod group;
mod hand_over;
mod memory;
mod outcome;
mod pair;
mod pin;
mod report;
mod run;
mod scale;
mod size;
mod topic;

pub use self::entry::main;
pub use self::floor::{Floor, Targets};
