//! The child's side: find out the role, play it, talk to the parent.

use std::env;
use std::fmt;
use std::future::Future;
use std::io::{BufRead, Write};
use std::ops::Deref;
use std::process::ExitCode;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::{MARK, Orders, VARIABLE};
use crate::reach::Reach;
use crate::{Failure, Harness};

type Play = dyn Fn(ChildContext) -> BoxFuture<'static, Result<(), Failure>> + Send + Sync;

/// Something that a child can be told to do.
#[derive(Clone)]
pub struct Role {
    name: &'static str,
    play: Arc<Play>,
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

/// What a child is given: the way to the backend, its arguments, and lines from and to the parent.
#[derive(Clone, Debug)]
pub struct ChildContext {
    reach: Reach,
    args: Value,
    lines: Arc<Mutex<UnboundedReceiver<String>>>,
}

impl Deref for ChildContext {
    type Target = Reach;

    fn deref(&self) -> &Reach {
        &self.reach
    }
}

impl ChildContext {
    /// The arguments that the parent gave to [`Context::spawn`](crate::Context::spawn).
    ///
    /// # Errors
    /// They have another shape.
    pub fn args<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        Ok(serde_json::from_value(self.args.clone())?)
    }

    /// Says something to the parent.
    ///
    /// # Errors
    /// The parent is gone.
    pub fn say(&self, value: &impl Serialize) -> Result<(), Failure> {
        let line = format!("{MARK}{}\n", serde_json::to_string(value)?);
        let mut output = std::io::stdout().lock();
        output.write_all(line.as_bytes())?;
        Ok(output.flush()?)
    }

    /// Waits for what the parent [tells](super::Child::tell) next, for as long as it lives.
    ///
    /// # Errors
    /// It is of another shape.
    pub async fn hear<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        let line = self.lines.lock().await.recv().await;
        Ok(serde_json::from_str(&line.ok_or_else(|| Failure::new("the parent is gone"))?)?)
    }
}

/// Plays a role if this process is a child; a parent gets `None`.
pub(crate) fn play_role(harness: &Harness) -> Option<ExitCode> {
    let orders = env::var(VARIABLE).ok()?;
    match play(harness, &orders) {
        Ok(()) => Some(ExitCode::SUCCESS),
        Err(failure) => {
            eprintln!("child: {failure}");
            Some(ExitCode::FAILURE)
        }
    }
}

fn play(harness: &Harness, orders: &str) -> Result<(), Failure> {
    let orders: Orders = serde_json::from_str(orders)?;
    let role = harness.roles.iter().find(|role| role.name == orders.role);
    let role = role.ok_or_else(|| Failure::new(format!("the harness has no role {}", orders.role)))?;
    let reach = Reach { driver: harness.driver, url: orders.url, namespace: orders.namespace, ttl: orders.ttl };
    let (sender, lines) = unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
        // The parent is gone: nothing may be left of it.
        std::process::exit(0);
    });
    let context = ChildContext { reach, args: orders.args, lines: Arc::new(Mutex::new(lines)) };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let outcome = runtime.block_on((role.play)(context));
    runtime.shutdown_background();
    outcome
}
