//! A server with users.

use std::time::Duration;

use etcd_client::{Client, Permission, PermissionType};
use tokio::time::sleep;
use tooz_conformance::servers::{Deployment, etcd};
use tooz_conformance::{Context, ensure};
use tooz_core::ErrorKind;

use super::{Outcome, PATIENCE, fails, hold, insist, lock, operator};

pub(crate) async fn a_user_needs_the_namespace_and_nothing_else(context: Context) -> Outcome {
    add_users(&mut operator(&context).await?, context.namespace()).await?;
    let as_user = |user: &str| context.at(context.url().replace("etcd://", &format!("etcd://{user}@")));
    let options = context.session_options("a")?;
    let session = as_user("tooz:secret").driver()?.open(&options).await?;
    let ticket = hold(&*session).await?;
    fails(context.driver()?.open(&options).await, ErrorKind::AuthFailed, "user name")?;
    let refused = as_user("tooz:s3cret").driver()?.open(&options).await;
    ensure!(!format!("{refused:?}").contains("s3cret"), "the error contains the password");
    fails(refused, ErrorKind::AuthFailed, "password")?;
    fails(as_user("poor:secret").driver()?.open(&options).await, ErrorKind::AuthFailed, "permission denied")?;

    // A restarted member does not know the tokens that it has issued.
    context.server()?.nodes()[0].restart().await?;
    insist(|| session.renew()).await?;
    let roster = lock();
    ensure!(insist(|| session.leave(&roster, &ticket)).await?, "the lock was lost");
    hold(&*session).await?;
    Ok(())
}

/// etcd forgets a token that is not used for a while; also that of a stream, which requests new watches with it.
pub(crate) async fn an_expired_token_is_replaced(context: Context) -> Outcome {
    let server = Deployment::start(&etcd::with_args(&["--auth-token-ttl=2"])).await?;
    let context = context.at(format!("etcd://{}", server.addresses()[0]));
    add_users(&mut operator(&context).await?, context.namespace()).await?;
    let context = context.at(context.url().replace("etcd://", "etcd://tooz:secret@"));
    let (one, two) = (context.coordinator("one").await?, context.coordinator("two").await?);
    for _ in 0..2 {
        let held = one.lock("lock").acquire().await?;
        let waiter = tokio::spawn({
            let lock = two.lock("lock");
            async move { lock.acquire_timeout(PATIENCE).await }
        });
        sleep(Duration::from_millis(300)).await;
        held.release().await?;
        let held = waiter.await??;
        // Longer than the token lives, with nothing but renewals.
        sleep(Duration::from_secs(7)).await;
        ensure!(held.is_held(), "the lock was lost");
        held.release().await?;
    }
    one.close().await;
    two.close().await;
    server.remove().await?;
    Ok(())
}

async fn add_users(client: &mut Client, namespace: &str) -> Outcome {
    client.role_add("tooz").await?;
    let permission = Permission::new(PermissionType::Readwrite, format!("/{namespace}/")).with_prefix();
    client.role_grant_permission("tooz", permission).await?;
    for user in ["root", "tooz", "poor"] {
        client.user_add(user, "secret", None).await?;
    }
    client.role_add("root").await?;
    client.user_grant_role("root", "root").await?;
    client.user_grant_role("tooz", "tooz").await?;
    client.auth_enable().await?;
    Ok(())
}
