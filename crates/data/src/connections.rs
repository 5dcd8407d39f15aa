//! The connections themselves, as threads see them: opened when there is none, given back after the work, thrown away
//! when the work left them in doubt. Knows no reactor and no Deferred.

use crate::limits::PoolLimits;
use rusqlite::{
    Connection, OpenFlags, Row, Transaction, TransactionBehavior, config::DbConfig, limits::Limit,
    types::ValueRef,
};
use std::{
    error::Error,
    fmt,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};
use tress_core::ThreadFailure;

/// Instructions of SQLite's machine between two looks at whether anybody waits still.
const STEPS_BETWEEN_LOOKS: i32 = 1000;

/// What ends work on a database, beside what SQLite and the work itself say.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DataError {
    /// No file of the operating system has that name: it is empty, or `:memory:`, of which each connection has its own.
    NoFile(PathBuf),
    /// [`PoolLimits::waiting`] pieces of work wait already.
    TooManyWaiting(usize),
    /// A query has more rows than [`PoolLimits::rows`].
    TooManyRows(usize),
    /// The rows of a query hold more bytes than [`PoolLimits::bytes`].
    TooManyBytes(usize),
    /// The pool was closed.
    Closed,
    /// It was cancelled, and what it had changed was taken back.
    TakenBack,
}

impl fmt::Display for DataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoFile(path) => write!(f, "{path:?} names no file for a database"),
            Self::TooManyWaiting(most) => {
                write!(f, "{most} pieces of work wait for the database already")
            }
            Self::TooManyRows(most) => write!(f, "the query has more than {most} rows"),
            Self::TooManyBytes(most) => {
                write!(f, "the rows of the query hold more than {most} bytes")
            }
            Self::Closed => f.write_str("the database was closed"),
            Self::TakenBack => f.write_str("it was cancelled and taken back"),
        }
    }
}

impl Error for DataError {}

/// Whether somebody waits for a piece of work still.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted(Arc<AtomicBool>);

impl Wanted {
    pub(crate) fn give_up(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn is_given_up(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    fn check(&self) -> Result<(), DataError> {
        if self.is_given_up() {
            return Err(DataError::TakenBack);
        }
        Ok(())
    }
}

/// Connections to one file. What nobody works with is idle.
#[derive(Debug)]
pub(crate) struct Connections {
    path: PathBuf,
    limits: PoolLimits,
    idle: Mutex<Vec<Connection>>,
}

impl Connections {
    pub(crate) fn new(path: PathBuf, limits: PoolLimits) -> Result<Self, DataError> {
        if path.as_os_str().is_empty() || path.as_os_str() == ":memory:" {
            return Err(DataError::NoFile(path));
        }
        Ok(Self {
            path,
            limits,
            idle: Mutex::default(),
        })
    }

    /// Calls `work` with a connection. A connection on which the work panicked, or left a transaction open, is closed,
    /// which takes the transaction back.
    pub(crate) fn with_connection<T>(
        &self,
        wanted: &Wanted,
        work: impl FnOnce(&mut Connection) -> Result<T, ThreadFailure>,
    ) -> Result<T, ThreadFailure> {
        wanted.check()?;
        let mut connection = match self.take() {
            Some(connection) => connection,
            None => self.open()?,
        };
        let looked_at = wanted.clone();
        connection.progress_handler(STEPS_BETWEEN_LOOKS, Some(move || looked_at.is_given_up()))?;
        let result = work(&mut connection);
        connection.progress_handler(0, None::<fn() -> bool>)?;
        if connection.is_autocommit() {
            self.lock().push(connection);
        }
        result
    }

    /// Calls `work` within a transaction, which begins with the right to write, as one that asks for it later can be
    /// refused. It is committed when the work is done and wanted still, and otherwise taken back.
    pub(crate) fn with_transaction<T>(
        &self,
        wanted: &Wanted,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, ThreadFailure>,
    ) -> Result<T, ThreadFailure> {
        self.with_connection(wanted, |connection| {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let value = work(&transaction)?;
            wanted.check()?;
            transaction.commit()?;
            Ok(value)
        })
    }

    /// All rows of a query, each as `row` reads it.
    pub(crate) fn rows<T>(
        &self,
        connection: &Connection,
        sql: &str,
        params: impl rusqlite::Params,
        mut row: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, ThreadFailure> {
        let PoolLimits {
            rows: most, bytes, ..
        } = self.limits;
        let mut statement = connection.prepare_cached(sql)?;
        let columns = statement.column_count();
        let mut rows = statement.query(params)?;
        let (mut found, mut held) = (Vec::new(), 0_usize);
        while let Some(next) = rows.next()? {
            if found.len() == most {
                return Err(DataError::TooManyRows(most).into());
            }
            for column in 0..columns {
                held = held.saturating_add(bytes_of(next.get_ref(column)?));
            }
            if held > bytes {
                return Err(DataError::TooManyBytes(bytes).into());
            }
            found.push(row(next)?);
        }
        Ok(found)
    }

    /// Closes what is idle.
    pub(crate) fn close_idle(&self) {
        let idle = std::mem::take(&mut *self.lock());
        drop(idle);
    }

    fn take(&self) -> Option<Connection> {
        self.lock().pop()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A commit is on the disk when it returns: that is what `synchronous` says. Readers and the writer do not hold each
    /// other up: that is the write-ahead log. What is in the file is not trusted to call functions.
    fn open(&self) -> Result<Connection, ThreadFailure> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        connection.busy_timeout(self.limits.busy)?;
        let most = i32::try_from(self.limits.bytes).unwrap_or(i32::MAX);
        connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, most)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        connection.pragma_update(None, "synchronous", "full")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        Ok(connection)
    }
}

fn bytes_of(value: ValueRef<'_>) -> usize {
    match value {
        ValueRef::Null => 1,
        ValueRef::Integer(_) | ValueRef::Real(_) => 8,
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.len(),
    }
}
