//! `tooz top`: a live view of everything that is in use.
//!
//! `feed` finds the objects and `follower` reads each of them; `model` is the state of the screen, `screen` draws it, `keys`
//! changes it, and `live` is the loop that connects them.

mod feed;
mod follower;
mod keys;
mod live;
mod model;
mod screen;
mod update;

pub(crate) use self::live::Top;
