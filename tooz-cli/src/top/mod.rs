//! `tooz top`: a live view of everything that is in use.
//!
//! `feed` reads the backend, `model` is the state of the screen, `screen` draws it, `keys` changes it, and `live` is the
//! loop that connects them.

mod feed;
mod keys;
mod live;
mod model;
mod screen;

pub(crate) use self::live::Top;
