//! What each script costs, in commands that the server counts, also on a busy machine: it does not grow with the roster.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use support::fixture::{Fixture, LOCK, key, source};

/// Sessions that the fixture has opened. Each has half of the entries.
const OWNERS: [&str; 2] = ["a", "b"];

/// A semaphore with as many holders as permits, and as many waiters.
struct Semaphore {
    fixture: Fixture,
    permits: usize,
    seqs: Vec<String>,
}

impl Semaphore {
    async fn new(permits: usize) -> Self {
        let mut semaphore = Self { fixture: Fixture::new().await, permits, seqs: Vec::new() };
        for number in 0..2 * permits {
            let (owner, nonce, limit) = (OWNERS[number % 2], format!("{number:08x}"), permits.to_string());
            let reply = semaphore.fixture.enter_as(owner, &nonce, "x", &limit).await;
            semaphore.seqs.push(reply[1].clone());
        }
        semaphore
    }

    fn ticket(&self, number: usize) -> String {
        format!("{} {number:08x} {} x {} ", self.seqs[number], OWNERS[number % 2], self.permits)
    }

    /// How many commands a script runs.
    async fn cost(&self, source: &str, args: &[&str]) -> u64 {
        let before = self.commands().await;
        self.fixture.run(source, LOCK, args).await;
        self.commands().await - before
    }

    /// How many commands the server has run, also those inside scripts.
    async fn commands(&self) -> u64 {
        let stats = self.fixture.server.ask(&["INFO", "stats"]).await.unwrap().into_string().unwrap();
        stats.lines().find_map(|line| line.strip_prefix("total_commands_processed:")).unwrap().trim().parse().unwrap()
    }

    /// What each script costs.
    async fn costs(&self) -> Vec<(&'static str, u64)> {
        let (own, limit, last) = (key("c"), self.permits.to_string(), self.seqs.last().unwrap());
        let (record, waiting, held) = (format!("ff c x {limit} - "), self.ticket(self.permits), self.ticket(0));
        let mut costs = vec![
            ("enter", self.cost(source!(enter), &[&own, "ff", "x", &limit, &record]).await),
            ("wait", self.cost(source!(wait), &[&key("a"), &waiting]).await),
            ("snapshot", self.cost(source!(snapshot), &[&own, "", "x", &self.seqs[self.permits]]).await),
            ("leave", self.cost(source!(leave), &[&key("a"), &held]).await),
            ("evict", self.cost(source!(evict), &[&own, last]).await),
        ];
        for owner in OWNERS {
            self.fixture.expire(owner).await;
        }
        costs.push(("echo", self.cost(source!(echo), &[]).await));
        costs
    }
}

#[tokio::test]
async fn no_script_costs_more_in_a_greater_roster() {
    let [small, great] = [Semaphore::new(550).await.costs().await, Semaphore::new(2_000).await.costs().await];
    for ((script, few), (_, many)) in small.into_iter().zip(great) {
        assert!(many <= few + 5, "{script}: {few} commands with 550 permits, {many} with 2,000");
        assert!(many < 600, "{script}: {many} commands");
    }
}
