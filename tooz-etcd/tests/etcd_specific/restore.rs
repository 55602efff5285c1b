//! A server that comes back with another history: restored from a snapshot, or empty.
//!
//! Two servers behind one forwarder play the one before and the one after. They have the same cluster id, as after
//! `etcdctl snapshot restore`, and the second one gets the lease and the keys that a snapshot would contain.

use std::time::Duration;

use etcd_client::{Client, LeaseGrantOptions, PutOptions};
use tokio::time::{sleep, timeout};
use tooz_conformance::servers::{Deployment, etcd};
use tooz_conformance::{Context, ensure};
use tooz_core::driver::Loss;
use tooz_core::{ErrorKind, SessionState};

use super::forwarder::Forwarder;
use super::{Outcome, PATIENCE, fails, hold, insist, lease_of_session, lock};

/// Arguments that give both servers the same cluster id.
const SAME_CLUSTER: &[&str] = &[
    "--initial-cluster-token=same",
    "--initial-cluster=m0=http://127.0.0.1:9",
    "--initial-advertise-peer-urls=http://127.0.0.1:9",
];

/// The server before, which is in use, and the server after.
struct Servers {
    before: Deployment,
    after: Deployment,
    forwarder: Forwarder,
}

impl Servers {
    async fn start() -> Outcome<Self> {
        let (before, after) = tokio::join!(start(), start());
        let (before, after) = (before?, after?);
        let forwarder = Forwarder::start(&before.addresses()[0], Duration::ZERO).await?;
        Ok(Self { before, after, forwarder })
    }

    fn context(&self, context: &Context) -> Context {
        context.at(format!("etcd://{}", self.forwarder.address)).with_ttl(Duration::from_secs(60))
    }

    /// The server before; the forwarder has other clients.
    async fn operator(&self) -> Outcome<Client> {
        Ok(Client::connect([&self.before.addresses()[0]], None).await?)
    }

    /// The server after, with what a snapshot contains of the only session: its lease and its key.
    async fn restore_session(&self, context: &Context) -> Outcome<Client> {
        let lease = lease_of_session(context, &mut self.operator().await?).await?;
        let mut after = Client::connect([&self.after.addresses()[0]], None).await?;
        after.lease_grant(60, Some(LeaseGrantOptions::new().with_id(lease))).await?;
        let key = format!("/{}/session/{lease:016x}", context.namespace());
        after.put(key, "a", Some(PutOptions::new().with_lease(lease))).await?;
        Ok(after)
    }

    fn switch(&self) {
        self.forwarder.switch(&self.after.addresses()[0]);
    }

    async fn remove(self) -> Outcome {
        self.before.remove().await?;
        self.after.remove().await?;
        Ok(())
    }
}

async fn start() -> Outcome<Deployment> {
    Ok(Deployment::start(&etcd::with_args(SAME_CLUSTER)).await?)
}

/// The lease is in the snapshot, so etcd goes on to renew it.
pub(crate) async fn a_restored_server_ends_sessions(context: Context) -> Outcome {
    let servers = Servers::start().await?;
    let context = servers.context(&context);
    let driver = context.driver()?;
    let session = driver.open(&context.session_options("a")?).await?;
    let mut operator = servers.operator().await?;
    for number in 0..50 {
        operator.put("noise", number.to_string(), None).await?;
    }
    hold(&*session).await?;
    servers.restore_session(&context).await?;
    let lost = async {
        sleep(Duration::from_millis(200)).await;
        servers.switch();
        Outcome::Ok(())
    };
    let (loss, switched) = timeout(PATIENCE, async { tokio::join!(session.lost(), lost) }).await?;
    switched?;
    ensure!(matches!(&loss, Loss::Session(error) if error.is_session_lost()), "another loss was reported: {loss:?}");
    fails(session.renew().await, ErrorKind::SessionLost, "restored")?;
    let options = context.session_options("a")?;
    let next = insist(|| driver.open(&options)).await?;
    ensure!(next.history() > session.history(), "the next session has the history {}", next.history());
    hold(&*next).await?;
    session.close().await?;
    next.close().await?;
    servers.remove().await
}

/// A renewal alone notices it, too: an idle session sends nothing else.
pub(crate) async fn a_renewal_notices_a_restored_server(context: Context) -> Outcome {
    let servers = Servers::start().await?;
    let context = servers.context(&context);
    let session = context.session("a").await?;
    let mut operator = servers.operator().await?;
    for number in 0..50 {
        operator.put("noise", number.to_string(), None).await?;
    }
    hold(&*session).await?;
    session.renew().await?;
    servers.restore_session(&context).await?;
    servers.switch();
    fails(insist(|| session.renew()).await, ErrorKind::SessionLost, "restored")?;
    servers.remove().await
}

/// Others have written so much since that revisions are higher than before.
pub(crate) async fn a_session_misses_its_entries_after_a_restore(context: Context) -> Outcome {
    let servers = Servers::start().await?;
    let context = servers.context(&context);
    let session = context.session("a").await?;
    let ticket = hold(&*session).await?;
    let mut after = servers.restore_session(&context).await?;
    for number in 0..50 {
        after.put("noise", number.to_string(), None).await?;
    }
    let lost = async {
        sleep(Duration::from_millis(200)).await;
        servers.switch();
    };
    let (loss, ()) = timeout(PATIENCE, async { tokio::join!(session.lost(), lost) }).await?;
    ensure!(matches!(&loss, Loss::Entry(nonce) if *nonce == ticket.nonce), "another loss was reported: {loss:?}");
    insist(|| session.renew()).await?;
    let roster = lock();
    ensure!(!insist(|| session.leave(&roster, &ticket)).await?, "the entry was there");
    hold(&*session).await?;
    session.close().await?;
    servers.remove().await
}

/// A coordinator whose server comes back empty connects anew, and what it holds then is new.
pub(crate) async fn an_emptied_server_is_noticed(context: Context) -> Outcome {
    let servers = Servers::start().await?;
    let context = servers.context(&context);
    let coordinator = context.coordinator("a").await?;
    let held = coordinator.lock("lock").acquire().await?;
    coordinator.topic("topic").publish(b"before").await?;
    servers.switch();
    let lost = async {
        while held.is_held() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, lost).await?;
    let lock = coordinator.lock("lock");
    let acquired = timeout(PATIENCE, insist(|| lock.acquire())).await??;
    ensure!(coordinator.state() == SessionState::Connected, "the state is {:?}", coordinator.state());
    acquired.release().await?;
    coordinator.close().await;
    servers.remove().await
}
