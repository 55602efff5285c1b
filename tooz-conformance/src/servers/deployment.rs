//! The nodes of one backend, started together.

use std::io;

use futures_util::future::try_join_all;

use super::container;
use super::node::Node;
use super::ports::free_ports;
use super::process::Process;
use super::provision::Provision;
use super::runtime::on_servers;
use super::spec::{DeploymentSpec, Location};
use super::statistics::Statistics;
use super::unit::Unit;

/// How many sets of ports are tried until the servers start.
const ATTEMPTS: usize = 4;

/// A running backend.
///
/// [`remove`](Self::remove) ends it. A deployment that is only dropped ends with this process at the latest.
#[derive(Debug)]
pub struct Deployment {
    spec: DeploymentSpec,
    nodes: Vec<Node>,
    provision: Provision,
    version: String,
}

impl Deployment {
    /// Starts the nodes, forms the backend and waits until all nodes serve.
    ///
    /// # Errors
    /// The product cannot be provided, or a server does not start; the error contains the end of its log.
    pub async fn start(spec: &DeploymentSpec) -> io::Result<Self> {
        let provision = Provision::of(spec.product).await?;
        let mut attempt = 1;
        loop {
            match Self::attempt(spec, &provision).await {
                Ok(deployment) => return Ok(deployment),
                Err(error) if attempt == ATTEMPTS => return Err(error),
                // Another process may have taken a port before the server bound it.
                Err(_) => attempt += 1,
            }
        }
    }

    async fn attempt(spec: &DeploymentSpec, provision: &Provision) -> io::Result<Self> {
        let (spec, provision) = (spec.clone(), provision.clone());
        let mut deployment = Self { spec, nodes: Vec::new(), provision, version: String::new() };
        match deployment.bring_up().await {
            Ok(()) => Ok(deployment),
            Err(error) => {
                // The first error is the useful one.
                deployment.remove().await.ok();
                Err(error)
            }
        }
    }

    async fn bring_up(&mut self) -> io::Result<()> {
        let spec = self.spec.clone();
        let (mut locations, mut homes) = (Vec::new(), Vec::new());
        let mut ports = free_ports(spec.nodes.iter().map(|node| node.ports).sum())?;
        for node in &spec.nodes {
            let home = matches!(self.provision, Provision::Program(_)).then(Process::home).transpose()?;
            let data = home.as_ref().map_or(container::DATA.to_owned(), |home| home.path().display().to_string());
            locations.push(Location { ports: ports.split_off(ports.len() - node.ports), data });
            homes.push(home);
        }
        for (index, (node, home)) in spec.nodes.iter().zip(homes).enumerate() {
            if node.after_others {
                self.ready().await?;
            }
            let (product, provision, launch) = (spec.product, self.provision.clone(), node.launch(&locations, index));
            let launched = launch.clone();
            let unit = on_servers(async move { Unit::launch(product, &provision, home, launched).await }).await?;
            self.nodes.push(Node::new(node.clone(), locations[index].clone(), &launch, unit));
        }
        self.ready().await?;
        self.form().await?;
        self.version =
            (spec.product.version)(self.nodes[0].health_port()).await.unwrap_or_else(|error| error.to_string());
        Ok(())
    }

    async fn form(&self) -> io::Result<()> {
        match &self.spec.form {
            Some(form) => form(self.nodes.iter().map(Node::port).collect()).await,
            None => Ok(()),
        }
    }

    /// Waits until every node serves.
    ///
    /// # Errors
    /// Those of [`Node::ready`].
    pub async fn ready(&self) -> io::Result<()> {
        try_join_all(self.nodes.iter().map(Node::ready)).await.map(drop)
    }

    /// The servers, in the order of the spec.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The node with this name.
    ///
    /// # Errors
    /// The deployment has no such node.
    pub fn node(&self, name: &str) -> io::Result<&Node> {
        let found = self.nodes.iter().find(|node| node.name() == name);
        found.ok_or_else(|| io::Error::other(format!("the deployment has no node {name}")))
    }

    /// The addresses for the URL of clients.
    pub fn addresses(&self) -> Vec<String> {
        self.nodes.iter().filter(|node| node.is_for_clients()).map(Node::address).collect()
    }

    /// How the servers are provided.
    pub fn provision(&self) -> &Provision {
        &self.provision
    }

    /// The version that the first node reports.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// What the nodes for clients have done since they started, by their own count; `None` if the product does not say
    /// where its statistics are.
    ///
    /// # Errors
    /// A node does not answer.
    pub async fn statistics(&self) -> io::Result<Option<Statistics>> {
        let Some(read) = self.spec.product.statistics else { return Ok(None) };
        let nodes = self.nodes.iter().filter(|node| node.is_for_clients());
        Ok(Some(try_join_all(nodes.map(|node| read(node.health_port()))).await?.into_iter().sum()))
    }

    pub(crate) fn may_lose_notifications(&self) -> bool {
        self.spec.product.may_lose_notifications
    }

    /// Kills every node at the same moment.
    ///
    /// # Errors
    /// A node does not run.
    pub async fn kill(&self) -> io::Result<()> {
        try_join_all(self.nodes.iter().map(Node::kill)).await.map(drop)
    }

    /// Starts every node again, after [`kill`](Self::kill).
    ///
    /// # Errors
    /// A node does not serve within 60 s.
    pub async fn start_again(&self) -> io::Result<()> {
        try_join_all(self.nodes.iter().map(Node::start)).await.map(drop)
    }

    /// Copies the data of every node aside, for [`restore`](Self::restore). The nodes are killed and started again.
    ///
    /// # Errors
    /// The data cannot be copied, or a node does not serve within 60 s.
    pub async fn save(&self) -> io::Result<()> {
        self.kill().await?;
        try_join_all(self.nodes.iter().map(Node::save_data)).await?;
        self.start_again().await
    }

    /// Kills every node and starts it with the data of the last [`save`](Self::save), as after a restore from a backup.
    ///
    /// # Errors
    /// Nothing was saved, or a node does not serve within 60 s.
    pub async fn restore(&self) -> io::Result<()> {
        self.kill().await?;
        try_join_all(self.nodes.iter().map(Node::restore_data)).await?;
        self.start_again().await
    }

    /// Kills every node and starts it without data.
    ///
    /// # Errors
    /// The data cannot be removed, or a node does not serve within 60 s.
    pub async fn empty(&self) -> io::Result<()> {
        self.kill().await?;
        try_join_all(self.nodes.iter().map(Node::remove_data)).await?;
        self.start_again().await?;
        self.form().await
    }

    /// Freezes every node.
    ///
    /// # Errors
    /// A node does not run.
    pub async fn pause(&self) -> io::Result<()> {
        try_join_all(self.nodes.iter().map(Node::pause)).await.map(drop)
    }

    /// Lets every frozen node go on.
    ///
    /// # Errors
    /// A node does not run.
    pub async fn resume(&self) -> io::Result<()> {
        try_join_all(self.nodes.iter().map(Node::resume)).await.map(drop)
    }

    /// Ends all servers and removes their data.
    ///
    /// # Errors
    /// A server could not be removed.
    pub async fn remove(&self) -> io::Result<()> {
        let outcomes = futures_util::future::join_all(self.nodes.iter().map(Node::remove)).await;
        outcomes.into_iter().collect()
    }
}
