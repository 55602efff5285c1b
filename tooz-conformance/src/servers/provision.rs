//! How a server is provided on this machine: by a URL, as a container, or as a program on the PATH.

use std::collections::BTreeMap;
use std::env;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::StreamExt;
use testcontainers::bollard::Docker;
use testcontainers::bollard::query_parameters::CreateImageOptionsBuilder;
use testcontainers::core::client::docker_client_instance;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::container::remove_stale;
use super::spec::Product;

/// How the servers of a product are provided.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Provision {
    /// A server that runs already, named by this variable. The suite must not disturb it.
    Url(String),
    /// Containers of this image.
    Container(String),
    /// This program.
    Program(PathBuf),
}

impl Provision {
    /// Chooses how `product` is provided, once per process.
    ///
    /// # Errors
    /// Neither a container nor a program can be used. The error gives the reasons and the ways out.
    pub(crate) async fn of(product: &'static Product) -> io::Result<Self> {
        static CHOSEN: Mutex<BTreeMap<&str, Result<Provision, String>>> = Mutex::const_new(BTreeMap::new());
        let mut chosen = CHOSEN.lock().await;
        let provision = match chosen.get(product.name) {
            Some(provision) => provision.clone(),
            None => {
                let provision = choose(product).await;
                chosen.insert(product.name, provision.clone());
                provision
            }
        };
        provision.map_err(io::Error::other)
    }
}

impl std::fmt::Display for Provision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Url(variable) => write!(f, "the URL in {variable}"),
            Self::Container(image) => write!(f, "containers of {image}"),
            Self::Program(path) => write!(f, "the program {}", path.display()),
        }
    }
}

async fn choose(product: &'static Product) -> Result<Provision, String> {
    // `program` skips containers, for example because programs start faster.
    let no_container = match env::var("TOOZ_TEST_PROVISION").as_deref() {
        Ok("program") => "TOOZ_TEST_PROVISION asks for programs".to_owned(),
        Ok("container") | Err(_) => match container(product).await {
            Ok(image) => return Ok(Provision::Container(image)),
            Err(reason) => reason,
        },
        Ok(other) => return Err(format!("TOOZ_TEST_PROVISION is {other}, not program or container")),
    };
    match program(product) {
        Some(path) => Ok(Provision::Program(path)),
        None => Err(advice(product, &no_container)),
    }
}

fn advice(product: &Product, no_container: &str) -> String {
    let name = product.name;
    let variable = name.to_uppercase().replace('-', "_");
    let image = product.local_image.map_or("", |_| "`cargo xtask images` builds an image where Docker runs, ");
    let package =
        product.package.map_or(String::new(), |name| format!("`apt-get install {name}` gives the program on Debian, "));
    format!(
        "no {name} to test with: no container ({no_container}), and none of {:?} is installed; {image}{package}\
         TOOZ_TEST_{variable}_IMAGE names another image, and TOOZ_TEST_{variable}_URL a server that runs already",
        product.programs
    )
}

/// The image to use, or the reason why there is none.
async fn container(product: &Product) -> Result<String, String> {
    let variable = format!("TOOZ_TEST_{}_IMAGE", product.name.to_uppercase());
    if product.image.or(product.local_image).is_none() && env::var_os(&variable).is_none() {
        return Err("the product has no image".to_owned());
    }
    let docker = docker_client_instance().await.map_err(|error| error.to_string())?;
    match timeout(Duration::from_secs(5), docker.ping()).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => return Err(format!("the Docker engine cannot be reached: {error}")),
        Err(_) => return Err("the Docker engine did not answer within 5 s".to_owned()),
    }
    // A container that cannot be removed does not prevent tests.
    remove_stale().await.ok();
    if let Ok(image) = env::var(variable) {
        return have_or_pull(&docker, &image).await.map(|()| image);
    }
    for image in product.image.iter().chain(&product.local_image) {
        if docker.inspect_image(image).await.is_ok() {
            return Ok((*image).to_owned());
        }
    }
    match product.image {
        Some(image) => have_or_pull(&docker, image).await.map(|()| image.to_owned()),
        None => Err(format!("the image {} has not been built", product.local_image.unwrap_or("of this product"))),
    }
}

async fn have_or_pull(docker: &Docker, image: &str) -> Result<(), String> {
    if docker.inspect_image(image).await.is_ok() {
        return Ok(());
    }
    let options = CreateImageOptionsBuilder::new().from_image(image).build();
    let mut progress = docker.create_image(Some(options), None, None);
    while let Some(step) = progress.next().await {
        step.map_err(|error| format!("the image {image} is not here and cannot be pulled: {error}"))?;
    }
    Ok(())
}

fn program(product: &Product) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut candidates = product.programs.iter().flat_map(|program| {
        let absolute = Path::new(program).is_absolute().then(|| PathBuf::from(program));
        absolute.into_iter().chain(env::split_paths(&path).map(move |directory| directory.join(program)))
    });
    candidates.find(|candidate| candidate.is_file())
}
