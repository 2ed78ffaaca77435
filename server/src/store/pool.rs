//! Connections to the database, and whose turn it is to use one.
//!
//! Reading has connections of its own, so it never waits for a transaction that writes. Administrators go before
//! machines, because thousands of machines can ask at once. A connection is free again at the moment it is dropped: the
//! database library's own pool would first queue a task behind all others.

use super::{StoreError, StoreResult};
use sqlx::{Connection as _, SqliteConnection, query, sqlite::SqliteConnectOptions};
use std::{
    future::Future,
    ops::{Deref, DerefMut},
    sync::{Arc, PoisonError, RwLock},
};
use tokio::sync::{Mutex, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

tokio::task_local! {
    /// Set while the current task works for an administrator.
    static FOR_ADMINISTRATOR: ();
}

/// Does this work for an administrator: it uses the database before what machines ask.
pub(crate) async fn before_machines<T>(work: impl Future<Output = T>) -> T {
    FOR_ADMINISTRATOR.scope((), work).await
}

/// A turn at a connection, over when dropped.
struct Turn {
    _of_all: OwnedSemaphorePermit,
    _of_machines: Option<OwnedSemaphorePermit>,
}

/// One connection.
struct Slot {
    connection: SqliteConnection,
    /// A transaction has begun and was neither committed nor rolled back.
    has_transaction: bool,
}

/// Connections of one kind to one database.
pub(super) struct Pool {
    options: SqliteConnectOptions,
    slots: RwLock<Vec<Arc<Mutex<Slot>>>>,
    count: u32,
    /// One permit for each connection.
    all: Arc<Semaphore>,
    /// Machines need one of these first. So an administrator waits behind at most this many of them, however many queue.
    machines: Arc<Semaphore>,
}

/// A connection that is free again when dropped.
pub(super) struct PooledConnection {
    slot: OwnedMutexGuard<Slot>,
    // Dropped last: whoever has the next turn finds the connection.
    _turn: Turn,
}

/// A write transaction, rolled back when dropped without [`WriteTransaction::commit`].
pub(super) struct WriteTransaction(PooledConnection);

async fn permit(of: &Arc<Semaphore>) -> StoreResult<OwnedSemaphorePermit> {
    Arc::clone(of).acquire_owned().await.map_err(|_| sqlx::Error::PoolClosed.into())
}

impl Pool {
    /// Opens `count` connections, of which machines use at most `machines` at once.
    pub(super) async fn open(options: &SqliteConnectOptions, count: u32, machines: u32) -> StoreResult<Self> {
        let mut slots = Vec::new();
        for _ in 0..count {
            let connection = SqliteConnection::connect_with(options).await?;
            slots.push(Arc::new(Mutex::new(Slot { connection, has_transaction: false })));
        }
        let semaphore = |permits: u32| Arc::new(Semaphore::new(permits as usize));
        Ok(Self {
            options: options.clone(),
            slots: RwLock::new(slots),
            count,
            all: semaphore(count),
            machines: semaphore(machines),
        })
    }
    /// Waits for a connection, in order and without a time limit.
    pub(super) async fn take(&self) -> StoreResult<PooledConnection> {
        let goes_first = FOR_ADMINISTRATOR.try_with(|()| ()).is_ok();
        let of_machines = if goes_first { None } else { Some(permit(&self.machines).await?) };
        let turn = Turn { _of_all: permit(&self.all).await?, _of_machines: of_machines };
        let mut slot = self.free_slot()?;
        if slot.has_transaction {
            self.end_transaction(&mut slot).await?;
        }
        Ok(PooledConnection { slot, _turn: turn })
    }
    /// Rolls back what a caller left behind, such as a transaction that the disk had no room for. Replaces the
    /// connection if that fails: in what state it is cannot be known then.
    async fn end_transaction(&self, slot: &mut Slot) -> StoreResult<()> {
        // Also fails if the transaction has ended after all: SQLite rolls back some by itself, and a caller may go away
        // during a commit. A new connection is right in each case.
        if query("ROLLBACK").execute(&mut slot.connection).await.is_err() {
            let new = SqliteConnection::connect_with(&self.options).await?;
            let old = std::mem::replace(&mut slot.connection, new);
            // The lock of a transaction that is still open goes with its connection.
            drop(old.close().await);
        }
        slot.has_transaction = false;
        Ok(())
    }
    fn free_slot(&self) -> StoreResult<OwnedMutexGuard<Slot>> {
        let slots = self.slots.read().unwrap_or_else(PoisonError::into_inner);
        let free = slots.iter().find_map(|slot| Arc::clone(slot).try_lock_owned().ok());
        free.ok_or_else(|| StoreError::from(sqlx::Error::PoolClosed))
    }
    /// Begins a write transaction. Takes the write lock at once, so that it cannot fail half-way for lack of it.
    pub(super) async fn begin(&self) -> StoreResult<WriteTransaction> {
        let mut connection = self.take().await?;
        // Set before: a caller that goes away now may leave a transaction behind.
        connection.slot.has_transaction = true;
        query("BEGIN IMMEDIATE").execute(&mut *connection).await?;
        Ok(WriteTransaction(connection))
    }
    /// Waits until all connections are free, and closes them. Nobody gets one afterwards.
    pub(super) async fn close(&self) {
        let all = self.all.acquire_many(self.count).await;
        self.machines.close();
        self.all.close();
        let slots = std::mem::take(&mut *self.slots.write().unwrap_or_else(PoisonError::into_inner));
        for slot in slots.into_iter().filter_map(Arc::into_inner) {
            // What was committed is on the disk already.
            drop(slot.into_inner().connection.close().await);
        }
        drop(all);
    }
}

impl Deref for PooledConnection {
    type Target = SqliteConnection;
    fn deref(&self) -> &SqliteConnection {
        &self.slot.connection
    }
}
impl DerefMut for PooledConnection {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.slot.connection
    }
}

impl WriteTransaction {
    pub(super) async fn commit(mut self) -> StoreResult<()> {
        query("COMMIT").execute(&mut *self.0).await?;
        self.0.slot.has_transaction = false;
        Ok(())
    }
}
impl Deref for WriteTransaction {
    type Target = SqliteConnection;
    fn deref(&self) -> &SqliteConnection {
        &self.0
    }
}
impl DerefMut for WriteTransaction {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Counter, DeploymentStore as _, MachineStore as _, Sqlite};
    use banyan_proto::UnixSeconds;
    use std::{pin::pin, sync::Mutex as StdMutex, task::Poll};
    use tokio::task::{JoinSet, yield_now};

    async fn database() -> (tempfile::TempDir, Sqlite) {
        let folder = tempfile::tempdir().unwrap();
        let database = Sqlite::open(&folder.path().join("server.sqlite")).await.unwrap();
        database.identity().await.unwrap();
        (folder, database)
    }

    /// Polls once. Returns whether the future is done.
    async fn is_ready<T>(mut future: std::pin::Pin<&mut impl Future<Output = T>>) -> bool {
        std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_ready())).await
    }

    #[tokio::test]
    async fn administrators_read_during_a_transaction_and_write_before_the_machines_that_wait() {
        let (_folder, database) = database().await;
        let mut transaction = database.begin().await.unwrap();
        query("UPDATE server SET order_number = 7").execute(&mut *transaction).await.unwrap();
        let order = Arc::new(StdMutex::new(Vec::new()));
        let mut machines = JoinSet::new();
        for number in 0..20 {
            let (database, order) = (database.clone(), Arc::clone(&order));
            machines.spawn(async move {
                database.remember_time(UnixSeconds(number)).await.unwrap();
                order.lock().unwrap().push("machine");
            });
        }
        // All machines wait for their turn now.
        yield_now().await;
        before_machines(database.deployments(None)).await.unwrap();
        let administrator = tokio::spawn({
            let (database, order) = (database.clone(), Arc::clone(&order));
            async move {
                let number = before_machines(database.next(Counter::Order)).await.unwrap();
                order.lock().unwrap().push("administrator");
                number
            }
        });
        yield_now().await;
        assert!(order.lock().unwrap().is_empty());
        drop(transaction);
        assert_eq!(administrator.await.unwrap(), 1, "the transaction that was dropped is rolled back");
        while machines.join_next().await.is_some() {}
        let place = order.lock().unwrap().iter().position(|who| *who == "administrator");
        assert!(place.is_some_and(|place| place <= 1), "{place:?}");
        database.close().await;
        assert!(database.remembered_time().await.is_err(), "nobody gets a connection of a closed database");
    }

    #[tokio::test]
    async fn machines_that_read_leave_connections_to_administrators() {
        let (_folder, database) = database().await;
        let mut of_machines = Vec::new();
        loop {
            let mut next = pin!(database.reader());
            let taken = std::future::poll_fn(|context| Poll::Ready(next.as_mut().poll(context))).await;
            match taken {
                Poll::Ready(connection) => of_machines.push(connection.unwrap()),
                Poll::Pending => break,
            }
        }
        assert!(!of_machines.is_empty());
        assert!(is_ready(pin!(before_machines(database.reader()))).await);
        drop(of_machines.pop());
        assert!(is_ready(pin!(database.reader())).await, "a machine's connection is free when it is dropped");
    }

    #[tokio::test]
    async fn a_transaction_without_room_is_rolled_back_and_the_next_one_works() {
        let (_folder, database) = database().await;
        let pages = async |sql| query(sql).execute(&mut *database.writer().await.unwrap()).await.unwrap();
        let fill = "UPDATE server SET order_number = 7, id = zeroblob(4000000)";
        for _ in 0..3 {
            pages("PRAGMA max_page_count = 1").await;
            let mut transaction = database.begin().await.unwrap();
            let failed = query(fill).execute(&mut *transaction).await.unwrap_err();
            assert!(StoreError::from(failed).is_disk_full());
            drop(transaction);
            // The same for a caller that goes on after the failure.
            let mut transaction = database.begin().await.unwrap();
            drop(query(fill).execute(&mut *transaction).await);
            drop(transaction.commit().await);
            pages("PRAGMA max_page_count = 1000000").await;
        }
        assert_eq!(database.next(Counter::Order).await.unwrap(), 1);
        database.begin().await.unwrap().commit().await.unwrap();
    }

    #[tokio::test]
    async fn a_transaction_that_cannot_be_committed_is_rolled_back() {
        let (_folder, database) = database().await;
        let mut transaction = database.begin().await.unwrap();
        query("PRAGMA defer_foreign_keys = ON").execute(&mut *transaction).await.unwrap();
        query("UPDATE server SET order_number = 7").execute(&mut *transaction).await.unwrap();
        let orphan = "INSERT INTO lists (order_id, stripe, list) VALUES (x'00', 0, '')";
        query(orphan).execute(&mut *transaction).await.unwrap();
        assert!(transaction.commit().await.is_err(), "the deployment is missing");
        assert_eq!(database.next(Counter::Order).await.unwrap(), 1);
        database.begin().await.unwrap().commit().await.unwrap();
    }

    #[tokio::test]
    async fn a_connection_in_an_unknown_state_is_replaced() {
        let (_folder, database) = database().await;
        let mut transaction = database.begin().await.unwrap();
        query("CREATE TEMP TABLE mark (one)").execute(&mut *transaction).await.unwrap();
        query("COMMIT").execute(&mut *transaction).await.unwrap();
        drop(transaction);
        let mut next = database.writer().await.unwrap();
        assert!(query("SELECT * FROM mark").fetch_optional(&mut *next).await.is_err(), "the old connection is used");
        query("UPDATE server SET order_number = 7").execute(&mut *next).await.unwrap();
    }

    #[tokio::test]
    async fn a_reader_cannot_write() {
        let (_folder, database) = database().await;
        let mut reader = database.reader().await.unwrap();
        assert!(query("UPDATE server SET order_number = 7").execute(&mut *reader).await.is_err());
    }

    #[tokio::test]
    async fn a_repeated_enrolment_is_found_by_its_key() {
        let (_folder, database) = database().await;
        let sql = "EXPLAIN QUERY PLAN SELECT id FROM machines WHERE join_secret = ? AND join_key = ?";
        let plan = query(sql).fetch_one(&mut *database.reader().await.unwrap()).await.unwrap();
        let detail: String = sqlx::Row::get(&plan, "detail");
        assert!(detail.contains("join_secret=? AND join_key=?"), "{detail}");
    }
}
