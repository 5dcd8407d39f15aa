//! A database behind Deferreds: [`ConnectionPool`] keeps connections to one SQLite file and has the reactor's threads work
//! on them, so that the loop never waits for a disk. Knows no application, no protocol, and starts no thread.
//!
//! ```no_run
//! use tress_core::Deferred;
//! use tress_data::ConnectionPool;
//!
//! fn move_money(pool: &ConnectionPool, from: i64, to: i64, cents: i64) -> Deferred<()> {
//!     // All of it, or nothing: whatever fails in here takes everything back.
//!     pool.run_interaction(move |transaction| {
//!         let mut change = transaction.prepare_cached("UPDATE accounts SET cents = cents + ?2 WHERE id = ?1")?;
//!         change.execute((from, -cents))?;
//!         change.execute((to, cents))?;
//!         Ok(())
//!     })
//! }
//! ```
//! Source: Twisted's `enterprise/adbapi.py`.

#![forbid(unsafe_code)]

mod connections;
mod limits;
mod pool;

pub use connections::DataError;
pub use limits::PoolLimits;
pub use pool::ConnectionPool;
pub use rusqlite;
