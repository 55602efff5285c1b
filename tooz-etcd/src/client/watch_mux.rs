//! The watch multiplexer: one task that carries all watches of a session over one stream.
//!
//! When the stream breaks, every watch fails and its subscriber has to subscribe again, which opens the next stream.

use std::collections::HashMap;
use std::future::pending;
use std::sync::Arc;

use etcd_client::{KeyValue, WatchOptions, WatchResponse, WatchStream};
use tokio::sync::mpsc;
use tooz_core::{Error, Result};

use super::connection::Client;
use crate::error::{canceled, from_watch, watch_broke};

/// Receives the events of one subscription, one transaction at a time; none when a watch has begun.
pub(super) type Subscriber = mpsc::Sender<Result<Vec<KeyValue>>>;

#[derive(Debug)]
pub(super) enum Command {
    Watch { id: i64, start: Vec<u8>, options: WatchOptions, subscriber: Subscriber },
    Cancel(i64),
}

/// The task that owns the stream.
pub(super) struct WatchMux {
    client: Arc<Client>,
    subscribers: HashMap<i64, Subscriber>,
    /// The stream, and the number of its connection.
    stream: Option<(usize, WatchStream)>,
}

impl WatchMux {
    /// Starts the task, which ends when the last sender is dropped.
    pub(super) fn spawn(client: Arc<Client>) -> mpsc::UnboundedSender<Command> {
        let (commands, receiver) = mpsc::unbounded_channel();
        tokio::spawn(Self { client, subscribers: HashMap::new(), stream: None }.run(receiver));
        commands
    }

    async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        loop {
            let outcome = tokio::select! {
                command = commands.recv() => match command {
                    Some(command) => self.handle(command).await,
                    None => return,
                },
                response = next_response(&self.client, &mut self.stream) => {
                    response.and_then(|response| self.dispatch(&response))
                }
            };
            if let Err(error) = outcome {
                self.fail_all(&error);
            }
        }
    }

    async fn handle(&mut self, command: Command) -> Result<()> {
        match command {
            Command::Watch { id, start, options, subscriber } => {
                self.subscribers.insert(id, subscriber);
                match &mut self.stream {
                    Some((_, stream)) => stream.watch(start, Some(options)).await.map_err(from_watch),
                    None => self.open(start, options).await,
                }
            }
            Command::Cancel(id) => {
                self.subscribers.remove(&id);
                match &mut self.stream {
                    Some((_, stream)) => stream.cancel(id).await.map_err(from_watch),
                    None => Ok(()),
                }
            }
        }
    }

    async fn open(&mut self, start: Vec<u8>, options: WatchOptions) -> Result<()> {
        self.client.check_session()?;
        let opened = self.client.call(self.client.timeout, |mut connection| async move {
            Ok((connection.number, connection.watch.watch(start, Some(options)).await?))
        });
        self.stream = Some(opened.await?);
        Ok(())
    }

    fn dispatch(&mut self, response: &WatchResponse) -> Result<()> {
        let id = response.watch_id();
        if response.canceled() {
            let error = canceled(response);
            // Newer servers name no watch when they refuse one.
            if id < 0 {
                return Err(error);
            }
            if let Some(subscriber) = self.subscribers.remove(&id) {
                // A full channel ends with an error, too.
                let _ = subscriber.try_send(Err(error));
            }
            return Ok(());
        }
        let events: Vec<_> = response.events().iter().filter_map(|event| event.kv().cloned()).collect();
        if (response.created() || !events.is_empty())
            && let Some(subscriber) = self.subscribers.get(&id)
            && subscriber.try_send(Ok(events)).is_err()
        {
            self.subscribers.remove(&id);
        }
        Ok(())
    }

    /// Drops the stream with its connection, and fails all subscriptions.
    fn fail_all(&mut self, error: &Error) {
        if let Some((connection, _)) = self.stream.take() {
            self.client.drop_connection(connection);
        }
        let error = self.client.check_session().err().unwrap_or_else(|| error.clone());
        for (_, subscriber) in self.subscribers.drain() {
            let _ = subscriber.try_send(Err(error.clone()));
        }
    }
}

/// Waits for the next message of the stream. Without a stream there is none.
async fn next_response(client: &Client, stream: &mut Option<(usize, WatchStream)>) -> Result<WatchResponse> {
    let Some((connection, stream)) = stream else { return pending().await };
    tokio::select! {
        response = stream.message() => match response {
            Ok(Some(response)) => Ok(response),
            Ok(None) => Err(watch_broke("etcd has closed the stream")),
            Err(error) => Err(from_watch(error)),
        },
        () = client.dropped(*connection) => Err(watch_broke("the endpoint did not answer another request")),
    }
}
