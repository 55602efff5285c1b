//! `cargo xtask tidy`: the rules of this repository that no compiler checks.
//!
//! One rule a file. Each takes the [`Tree`](tree::Tree) and returns complaints; `check.rs` runs them all.

mod check;
mod circles;
mod docs;
mod folders;
mod heads;
mod lengths;
mod links;
mod packages;
mod rules;
mod source;
mod tree;
mod words;

pub(crate) use self::check::tidy;
