//! A server run as a container on the host's network, so that its ports are fixed and survive a restart.

use std::fs;
use std::io;
use std::time::Duration;

use testcontainers::bollard::models::{HostConfig, Mount, MountType};
use testcontainers::bollard::query_parameters::{
    KillContainerOptionsBuilder, ListContainersOptionsBuilder, RemoveContainerOptionsBuilder,
};
use testcontainers::core::WaitFor;
use testcontainers::core::client::docker_client_instance;
use testcontainers::core::wait::ExitWaitStrategy;
use testcontainers::runners::AsyncRunner;
use testcontainers::{ContainerAsync, GenericImage, Image, ImageExt};

use super::spec::Launch;

/// The label with the owner of a container: host, process id and start time of the process, because pids are reused.
const OWNER: &str = "tooz-conformance.owner";
/// The data directory inside a container.
pub(crate) const DATA: &str = "/data";

/// One container. It can be started again after it ended, with the same data.
#[derive(Debug)]
pub(crate) struct Container(ContainerAsync<GenericImage>);

impl Container {
    /// Creates and starts the container. The image finds the program on its own PATH.
    pub(crate) async fn start_new(image: &str, command: Vec<String>, launch: &Launch) -> io::Result<Self> {
        let (name, tag) = split_tag(image);
        let mut request = GenericImage::new(name, tag)
            .with_network("host")
            .with_cmd(command)
            .with_label(OWNER, owner(std::process::id()).unwrap_or_default())
            .with_startup_timeout(Duration::from_secs(60))
            .with_host_config_modifier(keep_data_in_a_volume);
        for (name, value) in &launch.env {
            request = request.with_env_var(name, value);
        }
        for (name, content) in &launch.files {
            request = request.with_copy_to(format!("{DATA}/{name}"), content.clone().into_bytes());
        }
        request.start().await.map(Self).map_err(io::Error::other)
    }

    pub(crate) async fn start(&self) -> io::Result<()> {
        self.0.start().await.map_err(io::Error::other)
    }

    pub(crate) async fn is_running(&self) -> bool {
        self.0.is_running().await.unwrap_or(false)
    }

    /// Sends SIGKILL to the server, which also ends a paused one.
    pub(crate) async fn kill(&self) -> io::Result<()> {
        self.signal("KILL").await?;
        match self.has_ended(Duration::from_secs(5)).await {
            true => Ok(()),
            false => Err(io::Error::other(format!("container {} runs on after SIGKILL", self.0.id()))),
        }
    }

    /// Asks the server to stop, and kills it after `limit`.
    pub(crate) async fn stop(&self, signal: &str, limit: Duration) -> io::Result<()> {
        self.signal(signal).await?;
        if self.has_ended(limit).await { Ok(()) } else { self.kill().await }
    }

    async fn signal(&self, signal: &str) -> io::Result<()> {
        let docker = docker_client_instance().await.map_err(io::Error::other)?;
        let options = KillContainerOptionsBuilder::new().signal(signal).build();
        docker.kill_container(self.0.id(), Some(options)).await.map_err(io::Error::other)
    }

    /// The engine acknowledges a signal before the container has ended, and would then refuse to start it again.
    async fn has_ended(&self, limit: Duration) -> bool {
        let step = Duration::from_millis(10);
        for _ in 0..limit.as_millis() / step.as_millis() {
            if !self.is_running().await {
                return true;
            }
            tokio::time::sleep(step).await;
        }
        false
    }

    pub(crate) async fn pause(&self) -> io::Result<()> {
        self.0.pause().await.map_err(io::Error::other)
    }

    pub(crate) async fn resume(&self) -> io::Result<()> {
        self.0.unpause().await.map_err(io::Error::other)
    }

    /// Runs a shell script in the data directory, in a second container that shares it.
    pub(crate) async fn shell(&self, script: &str) -> io::Result<()> {
        let (id, image) = (self.0.id().to_owned(), self.0.image().clone());
        let helper = GenericImage::new(image.name(), image.tag())
            .with_wait_for(WaitFor::exit(ExitWaitStrategy::new().with_exit_code(0)))
            .with_entrypoint("sh")
            .with_cmd(["-c".to_owned(), format!("cd {DATA} && {script}")])
            .with_label(OWNER, owner(std::process::id()).unwrap_or_default())
            .with_host_config_modifier(move |config| config.volumes_from = Some(vec![id.clone()]));
        let helper = helper.start().await.map_err(io::Error::other)?;
        helper.rm().await.map_err(io::Error::other)
    }

    /// Removes the container and its data.
    pub(crate) async fn remove(self) -> io::Result<()> {
        self.0.rm().await.map_err(io::Error::other)
    }

    /// The end of the server's log.
    pub(crate) async fn log(&self) -> String {
        let mut text = Vec::new();
        for part in [self.0.stdout_to_vec().await, self.0.stderr_to_vec().await] {
            text.extend(part.unwrap_or_default());
        }
        let from = text.len().saturating_sub(2000);
        String::from_utf8_lossy(&text[from..]).into_owned()
    }
}

/// An anonymous volume is faster than the container's own layer, and is removed with the container.
fn keep_data_in_a_volume(config: &mut HostConfig) {
    let volume = Mount { target: Some(DATA.to_owned()), typ: Some(MountType::VOLUME), ..Mount::default() };
    config.mounts.get_or_insert_default().push(volume);
}

/// Splits `name:tag`; a colon before a slash belongs to a registry's port.
fn split_tag(image: &str) -> (&str, &str) {
    match image.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, tag),
        _ => (image, "latest"),
    }
}

/// Removes containers that a killed test process left behind.
pub(crate) async fn remove_stale() -> io::Result<()> {
    remove_where(|label| {
        let pid = label.split('/').nth(1).and_then(|pid| pid.parse().ok());
        host_of(label) == host_name() && pid.is_some_and(|pid| owner(pid).as_deref() != Some(label))
    })
    .await
}

/// Removes every container of this process, for an exit that runs no destructors.
pub(crate) async fn remove_own() -> io::Result<()> {
    let ours = owner(std::process::id());
    remove_where(|label| Some(label) == ours.as_deref()).await
}

async fn remove_where(unwanted: impl Fn(&str) -> bool) -> io::Result<()> {
    let docker = docker_client_instance().await.map_err(io::Error::other)?;
    let list = ListContainersOptionsBuilder::new().all(true).build();
    for container in docker.list_containers(Some(list)).await.map_err(io::Error::other)? {
        let label = container.labels.as_ref().and_then(|labels| labels.get(OWNER));
        if let (Some(id), true) = (&container.id, label.is_some_and(|label| unwanted(label))) {
            let force = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
            // Another test process may remove it at the same time.
            docker.remove_container(id, Some(force)).await.ok();
        }
    }
    Ok(())
}

/// The label of a process, or `None` if no such process lives (or the system has no `/proc`).
fn owner(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command, in parentheses, may contain spaces; the start time is the 20th field after it.
    let started = stat.rsplit_once(") ")?.1.split(' ').nth(19)?;
    Some(format!("{}/{pid}/{started}", host_name()))
}

fn host_of(label: &str) -> &str {
    label.split('/').next().unwrap_or_default()
}

fn host_name() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_port_is_not_a_tag() {
        assert_eq!(split_tag("redis:7.4"), ("redis", "7.4"));
        assert_eq!(split_tag("h:5000/redis"), ("h:5000/redis", "latest"));
    }

    #[test]
    fn the_owner_of_this_process_is_stable() {
        let pid = std::process::id();
        assert_eq!(owner(pid), owner(pid));
    }
}
