//! Ledger and evidence in one SQLite database.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use orchestrator_core::{
    model::{ContentHash, LedgerId, Record, Timestamp},
    port::{
        Epoch, ErrorClass, EvidenceError, EvidenceStore, Ledger, LedgerEntry, LedgerError, Opening,
        PortFailure, Sequence, Stored,
    },
};
use rusqlite::{Connection, ErrorCode, OptionalExtension as _, TransactionBehavior, params};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Each record is a row whose number is its key. The one row of `ledger` says who may write.
const TABLES: &str = "
    pragma journal_mode = wal;
    pragma synchronous = full;
    create table if not exists ledger (one integer primary key check (one = 1), id text, epoch integer);
    create table if not exists record (sequence integer primary key, at integer, json text);
    create table if not exists evidence (hash text primary key, content blob) without rowid;
";

/// How long a call waits for another process that writes, before it is the orchestrator's turn to ask again.
const BUSY: Duration = Duration::from_secs(5);

/// A connection to a database that holds a ledger and its evidence.
#[derive(Debug, Clone)]
pub(crate) struct SqliteStore {
    connection: Arc<Mutex<Connection>>,
}

impl SqliteStore {
    /// Connects to the database in this file, which is made if it is not there.
    pub(crate) fn connect(file: &Path) -> rusqlite::Result<Self> {
        let connection = Connection::open(file)?;
        connection.busy_timeout(BUSY)?;
        connection.execute_batch(TABLES)?;
        let connection = Arc::new(Mutex::new(connection));
        Ok(Self { connection })
    }

    /// Works on the database where it keeps nobody up. Work that was begun is done, also when nobody waits for it any more.
    async fn with<T: Send + 'static, E: From<PortFailure> + Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, Fault<E>> + Send + 'static,
    ) -> Result<T, E> {
        let connection = Arc::clone(&self.connection);
        let done = tokio::task::spawn_blocking(move || {
            // A transaction whose holder panicked was rolled back.
            let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            work(&mut connection)
        });
        match done.await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(Fault::Said(error))) => Err(error),
            Ok(Err(Fault::Sqlite(error))) => Err(failure(error).into()),
            Err(error) => Err(PortFailure::new(WHAT, ErrorClass::Bug, error).into()),
        }
    }
}

const WHAT: &str = "the database cannot be used";

/// What stops work on the database.
enum Fault<E> {
    /// What the port has a word for.
    Said(E),
    Sqlite(rusqlite::Error),
}

impl<E> From<rusqlite::Error> for Fault<E> {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// Another writer will be done; whatever else is wrong stays so until a person acts.
fn failure(error: rusqlite::Error) -> PortFailure {
    let class = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => ErrorClass::TRANSIENT,
        Some(_) | None => ErrorClass::NeedsPerson,
    };
    PortFailure::new(WHAT, class, error)
}

#[async_trait]
impl Ledger for SqliteStore {
    async fn open(&self) -> Result<Opening, LedgerError> {
        self.with(take_over).await
    }

    async fn append(
        &self,
        epoch: Epoch,
        expected: Sequence,
        at: Timestamp,
        records: &[Record],
    ) -> Result<Sequence, LedgerError> {
        let json: Vec<_> = records
            .iter()
            .map(|record| serde_json::to_string(record).expect("records serialise"))
            .collect();
        self.with(move |connection| insert(connection, epoch, expected, at, &json))
            .await
    }

    async fn read(&self, from: Sequence, limit: usize) -> Result<Vec<LedgerEntry>, LedgerError> {
        self.with(move |connection| select(connection, from, limit))
            .await
    }
}

fn take_over(connection: &mut Connection) -> Result<Opening, Fault<LedgerError>> {
    let change = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let new = LedgerId::random();
    change.execute(
        "insert or ignore into ledger values (1, ?, 0)",
        [new.as_str()],
    )?;
    let (id, epoch) = change.query_row(
        "update ledger set epoch = epoch + 1 returning id, epoch",
        [],
        |row| Ok((row.get::<_, String>(0)?, row.get(1)?)),
    )?;
    let next = next(&change)?;
    change.commit()?;
    let ledger = id
        .parse()
        .map_err(|error| damaged("table ledger", &error))?;
    Ok(Opening::new(ledger, Epoch(epoch), Sequence(next)))
}

fn next(connection: &Connection) -> rusqlite::Result<u64> {
    let sql = "select coalesce(max(sequence), 0) + 1 from record";
    connection.query_row(sql, [], |row| row.get(0))
}

/// Compares and writes in one transaction: nobody comes in between.
fn insert(
    connection: &mut Connection,
    epoch: Epoch,
    expected: Sequence,
    at: Timestamp,
    json: &[String],
) -> Result<Sequence, Fault<LedgerError>> {
    let change = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let newest = change
        .query_row("select epoch from ledger", [], |row| row.get::<_, u64>(0))
        .optional()?;
    if newest != Some(epoch.0) {
        return Err(Fault::Said(LedgerError::Fenced));
    }
    let mut next = next(&change)?;
    if next != expected.0 {
        return Err(Fault::Said(LedgerError::Conflict {
            expected: expected.0,
            actual: next,
        }));
    }
    let mut row = change.prepare_cached("insert into record values (?, ?, ?)")?;
    for json in json {
        row.execute(params![next, at.0, json])?;
        next += 1;
    }
    drop(row);
    change.commit()?;
    Ok(Sequence(next))
}

fn select(
    connection: &mut Connection,
    from: Sequence,
    limit: usize,
) -> Result<Vec<LedgerEntry>, Fault<LedgerError>> {
    // SQLite counts to 2^63.
    let [from, limit] = [from.0, limit as u64].map(|number| number.min(i64::MAX as u64));
    let sql = "select sequence, at, json from record where sequence >= ? order by sequence limit ?";
    let mut query = connection.prepare_cached(sql)?;
    let mut rows = query.query([from, limit])?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        let (sequence, at): (u64, u64) = (row.get(0)?, row.get(1)?);
        let record = serde_json::from_str(row.get_ref(2)?.as_str().map_err(rusqlite::Error::from)?)
            .map_err(|error| damaged(&format!("record {sequence}"), &error))?;
        entries.push(LedgerEntry {
            sequence: Sequence(sequence),
            at: Timestamp(at),
            record,
        });
    }
    Ok(entries)
}

fn damaged(place: &str, why: &impl ToString) -> Fault<LedgerError> {
    Fault::Said(LedgerError::Damaged {
        place: place.to_owned(),
        why: why.to_string(),
    })
}

#[async_trait]
impl EvidenceStore for SqliteStore {
    /// Holds the content in memory once: SQLite writes a blob in one piece.
    async fn put(
        &self,
        content: &mut (dyn AsyncRead + Send + Unpin),
        cap: u64,
    ) -> Result<Stored, EvidenceError> {
        let mut bytes = Vec::new();
        (&mut *content)
            .take(cap)
            .read_to_end(&mut bytes)
            .await
            .map_err(EvidenceError::Content)?;
        let more = content.read(&mut [0]).await;
        let stored = Stored {
            hash: ContentHash::of(&bytes),
            size: bytes.len() as u64,
            truncated: more.map_err(EvidenceError::Content)? > 0,
        };
        self.with(move |connection| {
            let sql = "insert or ignore into evidence values (?, ?)";
            connection.execute(sql, params![stored.hash.to_string(), bytes])?;
            Ok(stored)
        })
        .await
    }

    async fn open(
        &self,
        hash: ContentHash,
    ) -> Result<Box<dyn AsyncRead + Send + Unpin>, EvidenceError> {
        let found = self.with(move |connection| {
            let sql = "select content from evidence where hash = ?";
            let found = connection
                .query_row(sql, [hash.to_string()], |row| row.get::<_, Vec<u8>>(0))
                .optional()?;
            found.ok_or(Fault::Said(EvidenceError::Unknown(hash)))
        });
        Ok(Box::new(std::io::Cursor::new(found.await?)))
    }
}
