//! `finger.sqlite`: statuses in a table of an SQLite file, which other programs may read and write at the same time. The
//! reactor's threads work on it, so that the loop does not wait for the disk.

use super::finger;
use crate::{
    config::{OptionSpec, Options, Problem, ValueKind},
    registry::{Provider, ProviderContext, ProviderKind, Sharing},
};
use std::{cell::RefCell, path::PathBuf, rc::Rc};
use tress_core::{Deferred, Failure, Reactor, Result};
use tress_data::{ConnectionPool, PoolLimits};
use tress_protocols::finger::{Finger, FingerSetter};
use tress_rpc::Object;

/// `kind = "finger.sqlite"`
pub(super) const KIND: ProviderKind = ProviderKind {
    name: "finger.sqlite",
    doc: "Statuses in the table `users` (`name`, `status`) of an SQLite file, which is made when it is missing.",
    options: &[
        OptionSpec {
            name: "database",
            value: ValueKind::Path,
            required: true,
            default: "",
            doc: "The file, relative to the directory of the configuration file.",
        },
        OptionSpec {
            name: "connections",
            value: ValueKind::Count,
            required: false,
            default: "4",
            doc: "Connections to the file at once, at least one; more requests wait.",
        },
        OptionSpec {
            name: "waiting",
            value: ValueKind::Count,
            required: false,
            default: "1024",
            doc: "Requests that wait for a connection; more fail.",
        },
        OptionSpec {
            name: "timeout",
            value: ValueKind::Duration,
            required: false,
            default: "30s",
            doc: "How long one request may take; then it fails, and is taken back.",
        },
        OptionSpec {
            name: "users_max",
            value: ValueKind::Count,
            required: false,
            default: "10000",
            doc: "Users that the table may have before a setter adds no more, and that a list of them may name.",
        },
    ],
    interfaces: finger::INTERFACES,
    make,
    // Each has its own connections to the one file.
    sharing: Sharing::PerWorker,
};

const TABLE: &str = "CREATE TABLE IF NOT EXISTS users (name TEXT PRIMARY KEY NOT NULL, status TEXT NOT NULL) STRICT";
const STATUS: &str = "SELECT status FROM users WHERE name = ?1";
const NAMES: &str = "SELECT name FROM users ORDER BY name";
/// Changes nothing when the user is new and there are as many as may be.
const SET: &str = "INSERT INTO users (name, status) SELECT ?1, ?2 \
    WHERE (SELECT count(*) FROM users) < ?3 OR EXISTS (SELECT 1 FROM users WHERE name = ?1) \
    ON CONFLICT (name) DO UPDATE SET status = excluded.status";

fn make(context: &ProviderContext<'_>, options: &Options) -> Result<Box<dyn Provider>, Problem> {
    let path = options.path("database")?;
    let Some(path) = context.files.in_the_system(&path) else {
        let text = "SQLite opens files of the operating system only, and there are others here";
        return Err(options.problem("database", text));
    };
    let number = |key| {
        let number = usize::try_from(options.count(key)?);
        number.map_err(|_| options.problem(key, "expected a smaller number"))
    };
    let time = options.duration("timeout")?;
    let (connections, users) = (number("connections")?, number("users_max")?);
    for (key, is_nothing) in [
        ("connections", connections == 0),
        ("users_max", users == 0),
        ("timeout", time.is_zero()),
    ] {
        if is_nothing {
            return Err(options.problem(key, "expected more than nothing"));
        }
    }
    let limits = PoolLimits {
        connections,
        waiting: number("waiting")?,
        time,
        rows: users,
        ..PoolLimits::default()
    };
    Ok(Box::new(Sqlite(Rc::new(Store {
        path,
        limits,
        pool: RefCell::default(),
    }))))
}

struct Sqlite(Rc<Store>);

impl Provider for Sqlite {
    fn object(&self, interface: &str) -> Option<Object> {
        finger::object(&self.0, interface)
    }

    fn start(&mut self, reactor: &Reactor) -> Result {
        let store = &self.0;
        let pool = ConnectionPool::open_with(reactor, &store.path, store.limits, |connection| {
            connection.execute_batch(TABLE)?;
            // Whether the table that was there is ours is to be known before anybody asks.
            for sql in [STATUS, NAMES, SET] {
                connection.prepare_cached(sql)?;
            }
            Ok(())
        });
        let pool =
            pool.map_err(|error| Failure::from(error).context(store.path.display().to_string()))?;
        store.pool.replace(Some(pool));
        Ok(())
    }

    fn stop(&mut self) -> Deferred<()> {
        let pool = self.0.pool.take();
        pool.map_or_else(|| Deferred::succeed(()), |pool| pool.close())
    }
}

/// The file, and the pool while it is open.
struct Store {
    path: PathBuf,
    limits: PoolLimits,
    pool: RefCell<Option<ConnectionPool>>,
}

impl Store {
    fn pool(&self) -> Result<ConnectionPool> {
        let pool = self.pool.borrow().clone();
        pool.ok_or_else(|| Failure::msg(format!("{} is not open", self.path.display())))
    }
}

impl Finger for Store {
    async fn user(&self, name: String) -> Result<Option<String>> {
        let found = self.pool()?.run_query(STATUS, [name], |row| row.get(0));
        Ok(found.await?.pop())
    }

    async fn users(&self) -> Result<Vec<String>> {
        self.pool()?.run_query(NAMES, (), |row| row.get(0)).await
    }
}

impl FingerSetter for Store {
    async fn set_user(&self, name: String, status: String) -> Result<()> {
        let most = i64::try_from(self.limits.rows).unwrap_or(i64::MAX);
        let params: (String, String, i64) = (name, status, most);
        let changed = self.pool()?.run_operation(SET, params).await?;
        if changed == 0 {
            let message = format!("there are {most} users already");
            return Err(Failure::msg(message));
        }
        Ok(())
    }
}
