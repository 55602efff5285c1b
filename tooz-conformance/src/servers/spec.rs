//! What to run: products, nodes and whole deployments, independent of how servers are provided.

use std::fmt;
use std::io;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::statistics::Statistics;

/// Asks the node at a port for its [`Statistics`].
pub type ReadStatistics = fn(u16) -> BoxFuture<'static, io::Result<Statistics>>;

/// A server product, and where to get it.
///
/// ```
/// use tooz_conformance::servers::Product;
///
/// static MY_DB: Product = Product {
///     user: Some("mydb"),
///     ..Product::new("mydb", &["mydb-server"], |_port| Box::pin(async { Ok("1.0".to_owned()) }))
/// };
/// ```
#[derive(Debug)]
pub struct Product {
    /// The name in lowercase, as in `TOOZ_TEST_<NAME>_IMAGE`.
    pub name: &'static str,
    /// The stock image with its tag, if the product has one that every Docker host can pull by this short name.
    pub image: Option<&'static str>,
    /// An image that is built locally, such as those that `cargo xtask images` builds from Debian packages.
    pub local_image: Option<&'static str>,
    /// Names or absolute paths of the server program. The first that exists is used; an image has the first on its PATH.
    pub programs: &'static [&'static str],
    /// The Debian package of the program.
    pub package: Option<&'static str>,
    /// The user that runs the server where the tests run as root, for a server that refuses root.
    pub user: Option<&'static str>,
    /// The signal that asks the server to stop, without `SIG`: `TERM`, unless that means something else to the server. With
    /// another signal, the server is also stopped by it before it is removed, so that it can free what would outlive it.
    pub stop_signal: &'static str,
    /// Asks a running node for its version.
    pub version: fn(u16) -> BoxFuture<'static, io::Result<String>>,
    /// Asks a running node for what it has done, so that `cargo bench -- --only scale` and
    /// [`Harness::with_scale_trials`](crate::Harness::with_scale_trials) count requests.
    pub statistics: Option<ReadStatistics>,
    /// Whether the server may lose a notification while its connection continues, as Redis publish/subscribe may. The
    /// histories then lose some, too.
    pub may_lose_notifications: bool,
}

impl Product {
    /// A product that is only provided as a program. Set other fields by struct update.
    pub const fn new(
        name: &'static str,
        programs: &'static [&'static str],
        version: fn(u16) -> BoxFuture<'static, io::Result<String>>,
    ) -> Self {
        Self {
            name,
            image: None,
            local_image: None,
            programs,
            package: None,
            user: None,
            stop_signal: TERM,
            version,
            statistics: None,
            may_lose_notifications: false,
        }
    }
}

/// The signal that asks most programs to stop.
pub(super) const TERM: &str = "TERM";

/// Ports and directory of a node, known before any node starts.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Location {
    /// The node's ports; the first is the one that clients use.
    pub ports: Vec<u16>,
    /// Its data directory, as the server sees it.
    pub data: String,
}

impl Location {
    /// The port that clients use.
    pub fn port(&self) -> u16 {
        self.ports[0]
    }
}

/// The command of one node.
#[derive(Clone, Debug, Default)]
pub struct Launch {
    /// The arguments after the program. `{data}` and `{port.N}` are replaced.
    pub args: Vec<String>,
    /// Environment variables.
    pub env: Vec<(String, String)>,
    /// Files that are written into the data directory before the first start: name and content.
    pub files: Vec<(String, String)>,
    /// A shell command that runs once, before the first start, as the user of the server; empty for none. The directory of
    /// the server program is on its PATH. `{data}` and `{port.N}` are replaced.
    pub prepare: String,
}

impl Launch {
    /// Replaces `{data}` and `{port.N}`.
    pub(crate) fn resolved(mut self, location: &Location) -> Self {
        let env = self.env.iter_mut().map(|(_, value)| value);
        for arg in self.args.iter_mut().chain(env).chain([&mut self.prepare]) {
            *arg = arg.replace("{data}", &location.data);
            for (index, port) in location.ports.iter().enumerate() {
                *arg = arg.replace(&format!("{{port.{index}}}"), &port.to_string());
            }
        }
        self
    }
}

type Plan = dyn Fn(&[Location], usize) -> Launch + Send + Sync;
type Check = dyn Fn(u16) -> BoxFuture<'static, io::Result<()>> + Send + Sync;
type Form = dyn Fn(Vec<u16>) -> BoxFuture<'static, io::Result<()>> + Send + Sync;

/// One server process of a deployment.
#[derive(Clone)]
pub struct NodeSpec {
    pub(crate) name: String,
    pub(crate) ports: usize,
    pub(crate) health: usize,
    pub(crate) for_clients: bool,
    pub(crate) after_others: bool,
    pub(crate) plan: Arc<Plan>,
    pub(crate) ready: Arc<Check>,
    pub(crate) ready_for_clients: Option<Arc<Check>>,
    pub(crate) extra: Launch,
}

impl NodeSpec {
    /// A node with one port. `plan` gets the locations of all nodes and this one's index; `ready` fails until it serves.
    pub fn new(
        name: impl Into<String>,
        plan: impl Fn(&[Location], usize) -> Launch + Send + Sync + 'static,
        ready: impl Fn(u16) -> BoxFuture<'static, io::Result<()>> + Send + Sync + 'static,
    ) -> Self {
        let (plan, ready) = (Arc::new(plan), Arc::new(ready));
        Self {
            name: name.into(),
            ports: 1,
            health: 0,
            for_clients: true,
            after_others: false,
            plan,
            ready,
            ready_for_clients: None,
            extra: Launch::default(),
        }
    }

    /// Sets how many ports the node needs; the first is the one that clients use.
    #[must_use]
    pub fn ports(mut self, count: usize) -> Self {
        self.ports = count;
        self
    }

    /// Sets the index of the port that answers health checks without TLS, if the port for clients needs TLS.
    #[must_use]
    pub fn health_port(mut self, index: usize) -> Self {
        self.health = index;
        self
    }

    /// Adds a check that must succeed at the port for clients before the node counts as serving.
    #[must_use]
    pub fn also_ready_when(
        mut self,
        ready_for_clients: impl Fn(u16) -> BoxFuture<'static, io::Result<()>> + Send + Sync + 'static,
    ) -> Self {
        self.ready_for_clients = Some(Arc::new(ready_for_clients));
        self
    }

    /// Leaves the node out of the addresses that URLs are made of.
    #[must_use]
    pub fn not_for_clients(mut self) -> Self {
        self.for_clients = false;
        self
    }

    /// Launches the node only when all nodes before it serve.
    #[must_use]
    pub fn after_others(mut self) -> Self {
        self.after_others = true;
        self
    }

    pub(crate) fn launch(&self, locations: &[Location], index: usize) -> Launch {
        let mut launch = (self.plan)(locations, index);
        launch.args.extend(self.extra.args.iter().cloned());
        launch.env.extend(self.extra.env.iter().cloned());
        launch.files.extend(self.extra.files.iter().cloned());
        launch.resolved(&locations[index])
    }
}

impl fmt::Debug for NodeSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeSpec").field("name", &self.name).field("ports", &self.ports).finish_non_exhaustive()
    }
}

/// One or several nodes that form one backend.
#[derive(Clone)]
pub struct DeploymentSpec {
    pub(crate) product: &'static Product,
    pub(crate) nodes: Vec<NodeSpec>,
    pub(crate) form: Option<Arc<Form>>,
    pub(crate) advertises: bool,
}

impl DeploymentSpec {
    /// A deployment of these nodes of `product`.
    pub fn new(product: &'static Product, nodes: Vec<NodeSpec>) -> Self {
        Self { product, nodes, form: None, advertises: false }
    }

    /// Sets what forms one backend from the started nodes, given the first port of each. It may be called repeatedly.
    #[must_use]
    pub fn formed_by(
        mut self,
        form: impl Fn(Vec<u16>) -> BoxFuture<'static, io::Result<()>> + Send + Sync + 'static,
    ) -> Self {
        self.form = Some(Arc::new(form));
        self
    }

    /// Declares that the nodes advertise their own addresses, so that clients would bypass a proxy.
    #[must_use]
    pub fn advertises_addresses(mut self) -> Self {
        self.advertises = true;
        self
    }

    /// Adds arguments to every node, such as `--requirepass`. `{data}` is its data directory, `{port.1}` a second port.
    #[must_use]
    pub fn args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        let args: Vec<String> = args.into_iter().map(Into::into).collect();
        self.each(|node| node.extra.args.extend(args.iter().cloned()));
        self
    }

    /// Adds an environment variable to every node.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.each(|node| node.extra.env.push((name.to_owned(), value.to_owned())));
        self
    }

    /// Writes a file, such as a certificate, into the data directory of every node.
    #[must_use]
    pub fn file(mut self, name: &str, content: &str) -> Self {
        self.each(|node| node.extra.files.push((name.to_owned(), content.to_owned())));
        self
    }

    /// Gives every node `count` ports more; see [`args`](Self::args).
    #[must_use]
    pub fn more_ports(mut self, count: usize) -> Self {
        self.each(|node| node.ports += count);
        self
    }

    fn each(&mut self, change: impl Fn(&mut NodeSpec)) {
        self.nodes.iter_mut().for_each(change);
    }
}

impl fmt::Debug for DeploymentSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeploymentSpec").field("product", &self.product.name).field("nodes", &self.nodes).finish()
    }
}
