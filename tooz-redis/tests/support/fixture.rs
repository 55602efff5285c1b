//! A server on which scripts are run by name.

use fred::prelude::*;
use fred::types::Message;
use tokio::sync::broadcast;

use super::Server;

/// A script, put together as `src/client/scripts.rs` does.
macro_rules! source {
    (open) => { source!("lib/entries" "lib/sessions"; "open") };
    (close) => { source!("lib/entries" "lib/sessions"; "close") };
    (echo) => { source!("lib/entries" "lib/sessions"; "echo") };
    (entries) => { source!("lib/entries"; "entries") };
    (enter) => { source!("lib/sequence" "enter_uncontended" "lib/entries" "lib/sessions"; "enter") };
    (leave) => { source!("leave_uncontended" "lib/entries"; "leave") };
    (withdraw) => { source!("lib/entries"; "withdraw") };
    (evict) => { source!("lib/entries"; "evict") };
    (replace) => { source!("lib/entries"; "replace") };
    (wait) => { source!("lib/entries" "lib/sessions"; "wait") };
    (snapshot) => { source!("lib/entries" "lib/sessions"; "snapshot") };
    (declare) => { source!(; "declare") };
    (retract) => { source!("lib/entries" "lib/sessions"; "retract") };
    (publish) => { source!("lib/sequence" "lib/retention"; "publish") };
    (trim) => { source!("lib/retention"; "trim") };
    (read) => { source!(; "read") };
    (bounds) => { source!(; "bounds") };
    ($($part:literal)*; $name:literal) => {
        concat!(
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/scripts/lib/keys.lua")),
            $(include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/scripts/", $part, ".lua")),)*
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/scripts/", $name, ".lua"))
        )
    };
}
pub(crate) use source;

pub(crate) const LOCK: &str = "{t}:lock:x";
pub(crate) const DECLARED: &str = "{t}:declared:lock";

/// A server with the sessions `a`, `b` and `c`, and a client that runs scripts.
pub(crate) struct Fixture {
    pub(crate) client: Client,
    pub(crate) server: Server,
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        let server = Server::start(&[]).await;
        let fixture = Self { client: server.plain().await, server };
        for session in ["a", "b", "c"] {
            fixture.open(session, 60_000).await;
        }
        fixture
    }

    /// Runs a script. Numbers and words come back as text, the elements of lists in a row.
    pub(crate) async fn run(&self, source: &str, key: &str, args: &[&str]) -> Vec<String> {
        self.try_run(source, key, args).await.unwrap()
    }

    pub(crate) async fn try_run(&self, source: &str, key: &str, args: &[&str]) -> Result<Vec<String>, Error> {
        Ok(match self.client.eval(source, key, args.to_vec()).await? {
            list @ Value::Array(_) => flat(list),
            words => words.as_str().unwrap().split(' ').map(str::to_owned).collect(),
        })
    }

    pub(crate) async fn open(&self, session: &str, ttl: u64) {
        let args = [session, &ttl.to_string(), "member", "history", "0", "1"];
        let reply = self.run(source!(open), &key(session), &args).await;
        assert_eq!(reply[0], "DONE");
    }

    /// Ends a session as its expiry does.
    pub(crate) async fn expire(&self, session: &str) {
        let _: () = self.client.del(key(session)).await.unwrap();
        self.server.ask(&["ZADD", "{t}:sessions", "1", session]).await.unwrap();
    }

    pub(crate) async fn enter_as(&self, session: &str, nonce: &str, mode: &str, limit: &str) -> Vec<String> {
        let record = format!("{nonce} {session} {mode} {limit} - value");
        self.run(source!(enter), LOCK, &[&key(session), nonce, mode, limit, &record]).await
    }

    pub(crate) async fn enter(&self, session: &str, nonce: &str) -> Vec<String> {
        self.enter_as(session, nonce, "x", "1").await
    }

    pub(crate) async fn enter_at(&self, session: &str, roster: &str, nonce: &str) -> Vec<String> {
        let record = format!("{nonce} {session} x 1 - ");
        self.run(source!(enter), roster, &[&key(session), nonce, "x", "1", &record]).await
    }

    pub(crate) async fn enter_keyed(&self, session: &str, nonce: &str, if_taken: &str) -> Vec<String> {
        let record = format!("{nonce} {session} m 1 2 idvalue");
        self.run(source!(enter), LOCK, &[&key(session), nonce, "m", "1", &record, "", "", if_taken, "id"]).await
    }

    /// Enters a roster that is empty, and leaves it.
    pub(crate) async fn enter_and_leave(&self, session: &str, roster: &str) {
        let seq = self.enter_at(session, roster, "09").await.swap_remove(1);
        let args = [&*key(session), &format!("{seq} 09 {session} x 1 ")];
        assert_eq!(self.run(source!(leave), roster, &args).await, ["DONE"]);
    }

    pub(crate) async fn leave(&self, session: &str, nonce: &str, seq: &str) -> Vec<String> {
        self.leave_as(session, &format!("{seq} {nonce} {session} x 1 ")).await
    }

    pub(crate) async fn leave_as(&self, session: &str, ticket: &str) -> Vec<String> {
        self.run(source!(leave), LOCK, &[&key(session), ticket]).await
    }

    pub(crate) async fn withdraw(&self, session: &str, nonce: &str) -> Vec<String> {
        self.run(source!(withdraw), LOCK, &[&key(session), nonce, "60000"]).await
    }

    pub(crate) async fn wait(&self, session: &str, nonce: &str, seq: &str) -> Vec<String> {
        self.run(source!(wait), LOCK, &[&key(session), &format!("{seq} {nonce} {session} x 1 ")]).await
    }

    /// The nonces of the entries that the session `a` reads.
    pub(crate) async fn nonces(&self) -> Vec<String> {
        let reply = self.run(source!(snapshot), LOCK, &[&key("a")]).await;
        assert_eq!(reply[0], "ROSTER");
        let mut nonces: Vec<_> = reply[4..].iter().map(|record| record.split(' ').nth(1).unwrap().to_owned()).collect();
        nonces.sort();
        nonces
    }

    /// The nonces of the entries of a session.
    pub(crate) async fn entries_of(&self, session: &str) -> Vec<String> {
        let reply = self.run(source!(entries), &key(session), &["0"]).await;
        reply.iter().skip(3).step_by(2).cloned().collect()
    }

    pub(crate) async fn keys(&self) -> Vec<String> {
        let mut keys = flat(self.server.ask(&["KEYS", "*"]).await.unwrap());
        keys.sort();
        keys
    }

    /// What is published on the channel of a session's client from now on.
    pub(crate) async fn listen(&self, session: &str) -> broadcast::Receiver<Message> {
        self.listen_on(&format!("{{t}}:client:{session}")).await
    }

    pub(crate) async fn listen_on(&self, channel: &str) -> broadcast::Receiver<Message> {
        let client = self.server.plain().await;
        let receiver = client.message_rx();
        client.subscribe(channel.to_owned()).await.unwrap();
        settle().await;
        receiver
    }
}

fn flat(value: Value) -> Vec<String> {
    match value {
        Value::Array(values) => values.into_iter().flat_map(flat).collect(),
        value => value.into_string().into_iter().collect(),
    }
}

/// The key of a session.
pub(crate) fn key(session: &str) -> String {
    format!("{{t}}:session:{session}")
}

/// The messages that have arrived.
pub(crate) fn received(receiver: &mut broadcast::Receiver<Message>) -> Vec<String> {
    std::iter::from_fn(|| receiver.try_recv().ok()).filter_map(|message| message.value.into_string()).collect()
}

/// Gives messages the time to arrive.
pub(crate) async fn settle() {
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
}
