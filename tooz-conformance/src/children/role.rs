//! The child's side: roles, and what a role is given.

use std::fmt;
use std::future::Future;
use std::io::Write;
use std::ops::Deref;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::sync::mpsc::UnboundedReceiver;

use super::protocol::MARK;
use crate::{Failure, Target};

type Play = dyn Fn(ChildContext) -> BoxFuture<'static, Result<(), Failure>> + Send + Sync;

/// A program for a child process.
#[derive(Clone)]
pub struct Role {
    pub(super) name: &'static str,
    pub(super) play: Arc<Play>,
}

impl Role {
    /// A role; the child ends when the future does.
    pub fn new<F>(name: &'static str, play: impl Fn(ChildContext) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        Self { name, play: Arc::new(move |context| play(context).boxed()) }
    }
}

impl fmt::Debug for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Role").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What a role is given: where to connect to, its arguments, and lines from and to the parent.
#[derive(Clone, Debug)]
pub struct ChildContext {
    pub(super) target: Target,
    pub(super) args: Value,
    pub(super) lines: Arc<Mutex<UnboundedReceiver<String>>>,
}

impl Deref for ChildContext {
    type Target = Target;

    fn deref(&self) -> &Target {
        &self.target
    }
}

impl ChildContext {
    /// The arguments that the parent gave to [`Context::spawn`](crate::Context::spawn).
    ///
    /// # Errors
    /// They do not deserialize as `T`.
    pub fn args<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        Ok(serde_json::from_value(self.args.clone())?)
    }

    /// Sends a value to the parent.
    ///
    /// # Errors
    /// The parent has ended.
    pub fn send(&self, value: &impl Serialize) -> Result<(), Failure> {
        let line = format!("{MARK}{}\n", serde_json::to_string(value)?);
        let mut output = std::io::stdout().lock();
        output.write_all(line.as_bytes())?;
        Ok(output.flush()?)
    }

    /// Waits for the next value that the parent [sends](super::Child::send), as long as the parent runs.
    ///
    /// # Errors
    /// The line does not deserialize as `T`, or the parent has ended.
    pub async fn receive<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        let line = self.lines.lock().await.recv().await;
        Ok(serde_json::from_str(&line.ok_or_else(|| Failure::new("the parent has ended"))?)?)
    }
}
