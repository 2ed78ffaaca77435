//! SQLite: opens the database and converts between columns and the server's types.

use super::{
    StoreError, StoreResult,
    pool::{Pool, PooledConnection, WriteTransaction},
};
use banyan_proto::{DeploymentId, Digest, MachineId, OrderId, UnixSeconds};
use serde::{Serialize, de::DeserializeOwned};
use sqlx::{
    Row, query_scalar,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteRow, SqliteSynchronous},
};
use std::{path::Path, sync::Arc, time::Duration};
use tokio::sync::watch;

/// Connections that only read.
const READERS: u32 = 5;
/// How many of them machines use at once. The others are for administrators.
const READERS_OF_MACHINES: u32 = 3;

/// The embedded database.
#[derive(Clone)]
pub(crate) struct Sqlite {
    readers: Arc<Pool>,
    /// One connection: SQLite writes one transaction at a time.
    writer: Arc<Pool>,
    /// Counts the transactions that stored an event or made a delivery due.
    event_news: Arc<watch::Sender<u64>>,
}

impl Sqlite {
    /// Opens the database. Creates it at the first start and upgrades its schema. Reads it from end to end: SQLite would
    /// work on a damaged one, such as a restored file beside the log of a newer one, and damage it further.
    pub(crate) async fn open(path: &Path) -> StoreResult<Self> {
        Self::open_checked(path).await.map_err(|error| match error.damage() {
            Some(why) => StoreError::DamagedFile { path: path.to_owned(), why: why.to_owned() },
            None => error,
        })
    }
    async fn open_checked(path: &Path) -> StoreResult<Self> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // Accepted changes must survive a power cut.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(20));
        let writer = Pool::open(&options, 1, 1).await?;
        let found: String = query_scalar("PRAGMA quick_check(1)").fetch_one(&mut *writer.take().await?).await?;
        if found != "ok" {
            return Err(StoreError::DamagedFile { path: path.to_owned(), why: found });
        }
        sqlx::migrate!("./migrations").run(&mut *writer.take().await?).await?;
        let reading = options.create_if_missing(false).pragma("query_only", "1");
        let readers = Pool::open(&reading, READERS, READERS_OF_MACHINES).await?;
        Ok(Self { readers: Arc::new(readers), writer: Arc::new(writer), event_news: Arc::new(watch::Sender::new(0)) })
    }
    /// Tells those who wait that an event was stored, or that a delivery became due.
    pub(super) fn announce_event(&self) {
        self.event_news.send_modify(|count| *count += 1);
    }
    pub(super) fn watch_events(&self) -> watch::Receiver<u64> {
        self.event_news.subscribe()
    }
    /// Returns a connection that can only read. It does not wait for those that write.
    pub(super) async fn reader(&self) -> StoreResult<PooledConnection> {
        self.readers.take().await
    }
    /// Returns the connection that writes, for a single statement.
    pub(super) async fn writer(&self) -> StoreResult<PooledConnection> {
        self.writer.take().await
    }
    /// Begins a write transaction.
    pub(super) async fn begin(&self) -> StoreResult<WriteTransaction> {
        self.writer.begin().await
    }
    pub(crate) async fn close(&self) {
        self.readers.close().await;
        // The last to close moves the log into the database.
        self.writer.close().await;
    }
}

/// Converts a protocol enum (a state, a stage, a reason) to its JSON string without quotes.
pub(super) fn enum_text<T: Serialize>(value: &T) -> StoreResult<String> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => Ok(word),
        _ => Err(StoreError::Damaged("word")),
    }
}

pub(super) fn json<T: Serialize>(value: &T) -> StoreResult<String> {
    serde_json::to_string(value).map_err(|_| StoreError::Damaged("document"))
}

/// Reads columns. Errors name the damaged column.
pub(super) struct Columns<'a>(pub(super) &'a SqliteRow);

impl Columns<'_> {
    fn bytes<const N: usize>(&self, column: &'static str) -> StoreResult<[u8; N]> {
        let bytes: Vec<u8> = self.0.try_get(column)?;
        bytes.try_into().map_err(|_| StoreError::Damaged(column))
    }
    pub(super) fn blob(&self, column: &'static str) -> StoreResult<Vec<u8>> {
        Ok(self.0.try_get(column)?)
    }
    pub(super) fn optional_blob(&self, column: &'static str) -> StoreResult<Option<Vec<u8>>> {
        Ok(self.0.try_get(column)?)
    }
    pub(super) fn machine(&self, column: &'static str) -> StoreResult<MachineId> {
        self.bytes(column).map(MachineId)
    }
    pub(super) fn optional_machine(&self, column: &'static str) -> StoreResult<Option<MachineId>> {
        let bytes: Option<Vec<u8>> = self.0.try_get(column)?;
        bytes.map(|bytes| bytes.try_into().map(MachineId).map_err(|_| StoreError::Damaged(column))).transpose()
    }
    pub(super) fn digest(&self, column: &'static str) -> StoreResult<Digest> {
        self.bytes(column).map(Digest)
    }
    pub(super) fn order(&self, column: &'static str) -> StoreResult<OrderId> {
        self.bytes(column).map(OrderId)
    }
    pub(super) fn deployment(&self, column: &'static str) -> StoreResult<DeploymentId> {
        self.bytes(column).map(DeploymentId)
    }
    pub(super) fn flag(&self, column: &'static str) -> StoreResult<bool> {
        Ok(self.number(column)? != 0)
    }
    pub(super) fn optional_deployment(&self, column: &'static str) -> StoreResult<Option<DeploymentId>> {
        Ok(self.optional_machine(column)?.map(|MachineId(bytes)| DeploymentId(bytes)))
    }
    pub(super) fn optional_order(&self, column: &'static str) -> StoreResult<Option<OrderId>> {
        Ok(self.optional_machine(column)?.map(|MachineId(bytes)| OrderId(bytes)))
    }
    pub(super) fn text(&self, column: &'static str) -> StoreResult<String> {
        Ok(self.0.try_get(column)?)
    }
    pub(super) fn optional_text(&self, column: &'static str) -> StoreResult<Option<String>> {
        Ok(self.0.try_get(column)?)
    }
    pub(super) fn number(&self, column: &'static str) -> StoreResult<u64> {
        let number: i64 = self.0.try_get(column)?;
        u64::try_from(number).map_err(|_| StoreError::Damaged(column))
    }
    pub(super) fn optional_number(&self, column: &'static str) -> StoreResult<Option<u64>> {
        let number: Option<i64> = self.0.try_get(column)?;
        number.map(|number| u64::try_from(number).map_err(|_| StoreError::Damaged(column))).transpose()
    }
    pub(super) fn small(&self, column: &'static str) -> StoreResult<u32> {
        u32::try_from(self.number(column)?).map_err(|_| StoreError::Damaged(column))
    }
    pub(super) fn rank(&self, column: &'static str) -> StoreResult<i32> {
        Ok(self.0.try_get(column)?)
    }
    pub(super) fn time(&self, column: &'static str) -> StoreResult<UnixSeconds> {
        self.number(column).map(UnixSeconds)
    }
    pub(super) fn json<T: DeserializeOwned>(&self, column: &'static str) -> StoreResult<T> {
        serde_json::from_str(&self.text(column)?).map_err(|_| StoreError::Damaged(column))
    }
    pub(super) fn optional_json<T: DeserializeOwned>(&self, column: &'static str) -> StoreResult<Option<T>> {
        let text = self.optional_text(column)?;
        text.map(|text| serde_json::from_str(&text).map_err(|_| StoreError::Damaged(column))).transpose()
    }
    pub(super) fn enum_value<T: DeserializeOwned>(&self, column: &'static str) -> StoreResult<T> {
        parse_enum_value(self.text(column)?, column)
    }
    pub(super) fn optional_enum_value<T: DeserializeOwned>(&self, column: &'static str) -> StoreResult<Option<T>> {
        self.optional_text(column)?.map(|word| parse_enum_value(word, column)).transpose()
    }
}

fn parse_enum_value<T: DeserializeOwned>(word: String, column: &'static str) -> StoreResult<T> {
    serde_json::from_value(serde_json::Value::String(word)).map_err(|_| StoreError::Damaged(column))
}

/// Converts a number to SQLite's signed integer. Values that do not fit become the largest.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MachineStore as _;
    use std::{fs, io::Write as _};

    #[tokio::test]
    async fn a_damaged_database_is_refused_with_its_path_and_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("server.sqlite");
        let new = Sqlite::open(&path).await.unwrap();
        new.identity().await.unwrap();
        new.close().await;
        let whole = fs::read(&path).unwrap();
        // A page in the middle, as when a newer log was mixed in; a file that ends too early; something else.
        let middle = [&whole[..8192], &[0x55; 4096], &whole[12288..]].concat();
        for damaged in [&middle[..], &whole[..whole.len() / 2], b"not a database at all, but a text"] {
            fs::File::create(&path).unwrap().write_all(damaged).unwrap();
            let refused = Sqlite::open(&path).await.err().unwrap();
            let text = refused.to_string();
            assert!(matches!(refused, StoreError::DamagedFile { .. }), "{text}");
            assert!(text.contains(path.to_str().unwrap()) && text.contains("server.sqlite-wal"), "{text}");
            assert_eq!(fs::read(&path).unwrap(), damaged);
        }
        fs::write(&path, whole).unwrap();
        Sqlite::open(&path).await.unwrap().close().await;
    }
}
