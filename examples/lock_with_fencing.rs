//! A row in a database that refuses a writer whose lock was lost without its noticing, by the fencing token.

use std::error::Error;

use rusqlite::{Connection, params};
use tooz_core::{FencingToken, Guard};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let database = Connection::open_in_memory()?;
    database
        .execute_batch("CREATE TABLE account (balance INTEGER, token INTEGER); INSERT INTO account VALUES (0, 0)")?;

    let coordinator = tooz_examples::connect().await?;
    let lock = coordinator.lock("account-example");
    let slow = lock.acquire().await?;
    println!("A holds the lock with token {} and is paused ...", slow.fencing_token());

    // As after a long garbage collection or a suspended machine: meanwhile somebody else is granted the lock.
    lock.break_lock().await?;
    let quick = lock.acquire().await?;
    println!(
        "B holds the lock with token {}; write accepted: {}",
        quick.fencing_token(),
        write(&database, &quick, 100)?
    );
    println!(
        "A wakes up and writes with token {}; write accepted: {}",
        slow.fencing_token(),
        write(&database, &slow, -1)?
    );

    let balance: i64 = database.query_row("SELECT balance FROM account", [], |row| row.get(0))?;
    println!("The balance is {balance}, as B left it. A is told: {}", slow.lost().await);
    quick.release().await?;
    coordinator.close().await;
    Ok(())
}

/// Writes unless a greater token was seen before. The check and the write are one statement, so nothing comes between.
fn write(database: &Connection, guard: &Guard, balance: i64) -> rusqlite::Result<bool> {
    let FencingToken(token) = guard.fencing_token();
    let sql = "UPDATE account SET balance = ?1, token = ?2 WHERE token <= ?2";
    Ok(database.execute(sql, params![balance, token as i64])? == 1)
}
