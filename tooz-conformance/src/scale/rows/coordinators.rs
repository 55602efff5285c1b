//! Coordinators in a child process of their own, so that nothing else is in its memory.

use std::fs;

use crate::Failure;
use crate::children::ChildContext;
use crate::scale::meter::{Values, per};
use crate::scale::population::{close, coordinators};
use crate::scale::setting::Setting;

/// The role of the process that connects the coordinators.
pub(crate) const ROLE: &str = "scale-coordinators";

/// How many coordinators connect between two progress reports of the process.
const CHUNK: u64 = 50;

const NAMES: [&str; 4] = ["bytes of memory", "threads", "descriptors", "connections"];

pub(in crate::scale) async fn measure(setting: Setting) -> Result<Values, Failure> {
    let mut child = setting.context.spawn(ROLE, &setting.size)?;
    let mut connected = 0;
    while connected < setting.size {
        connected = child.receive().await?;
    }
    let grown: [f64; NAMES.len()] = child.receive().await?;
    Ok(per(NAMES.into_iter().zip(grown).collect(), setting.size as f64))
}

/// The child: connects coordinators and reports by how much the use of each resource grew. The first coordinator is not
/// measured.
pub(crate) async fn connect(child: ChildContext) -> Result<(), Failure> {
    let count: u64 = child.args()?;
    let first = coordinators(&child, "first", 1).await?;
    let before = usage()?;
    let mut connected = Vec::new();
    while (connected.len() as u64) < count {
        let first = connected.len() as u64;
        connected.extend(coordinators(&child, &format!("from-{first}"), CHUNK.min(count - first)).await?);
        child.send(&connected.len())?;
    }
    let after = usage()?;
    let grown: Vec<f64> = after.iter().zip(before).map(|(after, before)| after - before).collect();
    child.send(&grown)?;
    close(connected).await;
    close(first).await;
    Ok(())
}

/// What this process uses, in the order of [`NAMES`].
fn usage() -> Result<[f64; NAMES.len()], Failure> {
    let pages = fs::read_to_string("/proc/self/statm")?.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok());
    let memory = pages.unwrap_or_default() * rustix::param::page_size();
    let threads = fs::read_dir("/proc/self/task")?.count();
    let descriptors =
        fs::read_dir("/proc/self/fd")?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, Failure>>()?;
    let is_socket = |path: &&std::path::PathBuf| {
        fs::read_link(path).is_ok_and(|target| target.to_string_lossy().starts_with("socket:"))
    };
    let connections = descriptors.iter().filter(is_socket).count();
    Ok([memory, threads, descriptors.len(), connections].map(|count| count as f64))
}
