//! A server with users.

use etcd_client::{Client, Permission, PermissionType};
use tooz_conformance::{Context, ensure};
use tooz_core::ErrorKind;

use super::{Outcome, fails, hold, insist, lock, operator};

pub(crate) async fn a_user_needs_the_namespace_and_nothing_else(context: Context) -> Outcome {
    add_users(&mut operator(&context).await?, context.namespace()).await?;
    let as_user = |user: &str| context.at(context.url().replace("etcd://", &format!("etcd://{user}@")));
    let options = context.session_options("a")?;
    let session = as_user("tooz:secret").driver()?.open(&options).await?;
    let ticket = hold(&*session).await?;
    fails(context.driver()?.open(&options).await, ErrorKind::AuthFailed, "user name")?;
    let refused = as_user("tooz:s3cret").driver()?.open(&options).await;
    ensure!(!format!("{refused:?}").contains("s3cret"), "the password shows");
    fails(refused, ErrorKind::AuthFailed, "password")?;
    fails(as_user("poor:secret").driver()?.open(&options).await, ErrorKind::AuthFailed, "permission denied")?;

    // A restarted member does not know the tokens that it gave out.
    context.server()?.nodes()[0].restart().await?;
    insist(|| session.renew()).await?;
    let roster = lock();
    ensure!(insist(|| session.leave(&roster, &ticket)).await?, "the lock was lost");
    hold(&*session).await?;
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
