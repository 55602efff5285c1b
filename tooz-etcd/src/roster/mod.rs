//! The verbs of a roster, one a file. Each is one transaction wherever etcd allows it.

mod declare;
mod enter;
mod follow;
mod leave;
mod position;
mod replace;
mod snapshot;
mod wait;

pub(crate) use self::follow::EtcdFollower;
