//! A database row refuses the late write of a client that has lost its lock without noticing: fencing tokens at work.

use std::error::Error;

use rusqlite::{Connection, params};
use tooz::{Coordinator, FencingToken, Guard};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tooz::scope(tooz_examples::backend_url(), |coordinator| async move { two_writers(&coordinator).await }).await
}

async fn two_writers(coordinator: &Coordinator) -> Result<(), Box<dyn Error>> {
    let database = Connection::open_in_memory()?;
    database.execute_batch("CREATE TABLE account (balance INTEGER, token INTEGER)")?;
    database.execute_batch("INSERT INTO account VALUES (0, 0)")?;

    let lock = coordinator.lock("account-example");
    let first = lock.acquire().await?;
    println!("A acquires the lock with token {} and is paused.", first.fencing_token());

    // Breaking the lock has the effect of a long pause of A: the next client acquires it.
    lock.break_lock().await?;
    let second = lock.acquire().await?;
    println!("B acquires the lock with token {}.", second.fencing_token());
    println!("B writes 100; accepted: {}.", write(&database, &second, 100)?);
    println!("A resumes and writes -1; accepted: {}.", write(&database, &first, -1)?);

    let balance: i64 = database.query_row("SELECT balance FROM account", [], |row| row.get(0))?;
    println!("The balance is {balance}. The loss that A's guard reports: {}.", first.lost().await);
    second.release().await?;
    Ok(())
}

/// Writes the balance unless the row has seen a greater token. One statement checks and writes, so no write comes between.
fn write(database: &Connection, guard: &Guard, balance: i64) -> Result<bool, Box<dyn Error>> {
    let FencingToken(token) = guard.fencing_token();
    let sql = "UPDATE account SET balance = ?1, token = ?2 WHERE token <= ?2";
    Ok(database.execute(sql, params![balance, i64::try_from(token)?])? == 1)
}
