//! What the server says about itself, over a plain connection of its own: the settings that matter are in no client API.

mod clock;
mod etcd;
mod examine;
#[cfg(feature = "postgres")]
mod postgres;
mod redis;
mod resp;
mod wire;
mod zookeeper;

pub(super) use self::examine::examine;
