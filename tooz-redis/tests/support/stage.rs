//! A server on which scripts are run by name.

use fred::prelude::*;
use fred::types::CustomCommand;

use super::Server;

/// A script, put together as `src/script.rs` does.
macro_rules! source {
    (enter) => {
        source!(@ "head" "number" "enter_alone" "names" "line" "enter")
    };
    (leave) => {
        source!(@ "leave_alone" "head" "names" "line" "leave")
    };
    ($($part:literal)+) => {
        source!(@ "head" "names" $($part)+)
    };
    (@ $($part:literal)+) => {
        concat!($(include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/scripts/", $part, ".lua"))),+)
    };
}
pub(crate) use source;

pub(crate) const LOCK: &str = "{t}:lock:x";

/// A server and a client that runs scripts by name.
pub(crate) struct Stage {
    pub(crate) client: Client,
    pub(crate) server: Server,
}

impl Stage {
    pub(crate) async fn new() -> Self {
        let server = Server::start(&[]).await;
        let stage = Self { client: server.plain().await, server };
        for session in ["a", "b", "c"] {
            stage.open(session, 60_000).await;
        }
        stage
    }

    /// Runs a script; numbers and words alike come back as text.
    pub(crate) async fn run(&self, source: &str, key: &str, args: &[&str]) -> Vec<String> {
        match self.client.eval(source, key, args.to_vec()).await.unwrap() {
            Value::Array(parts) => parts.into_iter().filter_map(|part| part.into_string()).collect(),
            words => words.as_str().unwrap().split(' ').map(str::to_owned).collect(),
        }
    }

    pub(crate) async fn open(&self, session: &str, ttl: u64) {
        let source = source!("line" "sessions" "open");
        let reply = self.run(source, &key(session), &[session, &ttl.to_string(), "member"]).await;
        assert_eq!(reply, ["DONE"]);
    }

    /// Ends a session without a word, as its expiry does.
    pub(crate) async fn expire(&self, session: &str) {
        let _: () = self.client.del(key(session)).await.unwrap();
    }

    pub(crate) async fn enter_as(&self, session: &str, nonce: &str, mode: &str, limit: &str) -> Vec<String> {
        self.run(source!(enter), LOCK, &[&key(session), nonce, &format!("{mode} {limit} {session} - value")]).await
    }

    pub(crate) async fn enter(&self, session: &str, nonce: &str) -> Vec<String> {
        self.enter_as(session, nonce, "x", "1").await
    }

    pub(crate) async fn enter_at(&self, session: &str, roster: &str, nonce: &str) -> Vec<String> {
        self.run(source!(enter), roster, &[&key(session), nonce, &format!("x 1 {session} - ")]).await
    }

    /// Enters a roster that is empty, and leaves it.
    pub(crate) async fn come_and_go(&self, session: &str, roster: &str) {
        let seq = self.enter_at(session, roster, "09").await.swap_remove(1);
        let args = [&*key(session), "09", &format!("{seq} x 1 {session} ")];
        assert_eq!(self.run(source!(leave), roster, &args).await, ["DONE"]);
    }

    /// The lines of a session's set of entries.
    pub(crate) async fn noted(&self, session: &str) -> Vec<String> {
        let command = CustomCommand::new_static("SMEMBERS", None, false);
        self.client.custom(command, vec![format!("{}:entries", key(session))]).await.unwrap()
    }

    pub(crate) async fn enter_keyed(&self, session: &str, nonce: &str, if_taken: &str) -> Vec<String> {
        let record = format!("m 1 {session} 2 idvalue");
        self.run(source!(enter), LOCK, &[&key(session), nonce, &record, "", "", if_taken]).await
    }

    pub(crate) async fn leave(&self, session: &str, nonce: &str, seq: &str) -> Vec<String> {
        self.leave_as(session, nonce, &format!("{seq} x 1 {session} ")).await
    }

    pub(crate) async fn leave_as(&self, session: &str, nonce: &str, beginning: &str) -> Vec<String> {
        self.run(source!(leave), LOCK, &[&key(session), nonce, beginning]).await
    }

    pub(crate) async fn turn(&self, session: &str, nonce: &str, seq: &str) -> String {
        self.run(source!("line" "turn"), LOCK, &[session, nonce, seq]).await.swap_remove(0)
    }

    pub(crate) async fn nonces(&self) -> Vec<String> {
        let mut reply = self.run(source!("line" "snapshot"), LOCK, &["a", "lock"]).await.into_iter().skip(3);
        let mut nonces = Vec::new();
        while let (Some(nonce), Some(_)) = (reply.next(), reply.next()) {
            nonces.push(nonce);
        }
        nonces.sort();
        nonces
    }

    pub(crate) async fn keys(&self) -> Vec<String> {
        let Value::Array(keys) = self.server.ask(&["KEYS", "*"]).await.unwrap() else { panic!("KEYS gives a list") };
        let mut keys: Vec<String> = keys.into_iter().filter_map(|key| key.into_string()).collect();
        keys.sort();
        keys
    }

    /// What is published on a session's channel from now on.
    pub(crate) async fn listen(&self, session: &str) -> tokio::sync::broadcast::Receiver<fred::types::Message> {
        self.listen_on(&key(session)).await
    }

    pub(crate) async fn listen_on(&self, channel: &str) -> tokio::sync::broadcast::Receiver<fred::types::Message> {
        let client = self.server.plain().await;
        let receiver = client.message_rx();
        client.subscribe(channel.to_owned()).await.unwrap();
        settle().await;
        receiver
    }
}

/// The key and channel of a session.
pub(crate) fn key(session: &str) -> String {
    format!("{{t}}:session:{session}")
}

pub(crate) fn heard(receiver: &mut tokio::sync::broadcast::Receiver<fred::types::Message>) -> Vec<String> {
    std::iter::from_fn(|| receiver.try_recv().ok()).filter_map(|message| message.value.into_string()).collect()
}

pub(crate) async fn settle() {
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
}
