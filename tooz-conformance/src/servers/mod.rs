//! Real backends for tests: how servers are started on this machine, and how they are disturbed.
//!
//! [`DeploymentSpec`] says what to run, [`Provision`] says how it is provided, and [`Deployment`] is the running
//! backend.

mod certificates;
mod container;
mod data;
mod deployment;
mod node;
mod ports;
mod process;
mod provision;
mod runtime;
mod spec;
mod statistics;
mod unit;
mod wire;

pub mod etcd;
pub mod postgres;
pub mod redis;
pub mod zookeeper;

pub use self::certificates::Certificates;
pub(crate) use self::container::remove_own;
pub use self::deployment::Deployment;
pub use self::node::Node;
pub(crate) use self::ports::free_ports;
pub use self::provision::Provision;
pub(crate) use self::runtime::on_servers;
pub use self::spec::{DeploymentSpec, Launch, Location, NodeSpec, Product, ReadStatistics};
pub use self::statistics::Statistics;
