//! What a backend and all its roles share: the session, the settings, the tables.

use std::sync::Arc;
use std::time::Duration;

use store_core::{ErrorKind, Result};

use crate::clock::Clock;
use crate::config::CassandraConfig;
use crate::deadline;
use crate::kv_turns::Turns;
use crate::schema::{self, Table};
use crate::session::{Call, CassandraSession, Class, Driver, Rows};
use crate::tables::Tables;
use crate::transaction::Writer;
use crate::vector::Memories;

/// How long a table that is listed, but not yet known, is waited for once all nodes list it: 10, 40, 160 and 640 ms.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LAST_PAUSE: Duration = Duration::from_millis(640);

/// One store of a cluster.
#[derive(Debug)]
pub(crate) struct Space {
    driver: Driver,
    pub(crate) config: CassandraConfig,
    /// The keyspace of the tables.
    pub(crate) keyspace: String,
    /// What is known of the tables.
    pub(crate) tables: Tables,
    /// What is known of the vector sets.
    pub(crate) vectors: Memories,
    /// What the handles of the chat role share.
    pub(crate) chats: crate::chat::Shared,
    /// The time of our writes.
    pub(crate) clock: Clock,
    /// Who may begin a lightweight transaction.
    pub(crate) turns: Turns,
    /// Gives its lightweight transactions their marks.
    pub(crate) writer: Writer,
}

impl Space {
    pub(crate) fn new(session: CassandraSession, config: CassandraConfig) -> Result<Self> {
        config.validate()?;
        let keyspace = schema::keyspace(&config).to_owned();
        Ok(Self {
            driver: Driver::new(session, &config),
            config,
            keyspace,
            tables: Tables::default(),
            clock: Clock::default(),
            turns: Turns::default(),
            writer: Writer::default(),
            vectors: Memories::default(),
            chats: crate::chat::Shared::default(),
        })
    }

    /// The session; `Unavailable` once closed.
    pub(crate) fn driver(&self) -> &Driver {
        &self.driver
    }

    /// Runs a statement on a table of ours, which is made first where that is allowed. `call` is given its full name.
    ///
    /// `NotFound` when the table is missing and must not be made.
    pub(crate) async fn on(&self, table: &Table, call: impl Fn(&str) -> Call) -> Result<Rows> {
        self.on_table(table, |name| self.driver.run(call(&name))).await
    }

    /// The same for a batch, see [`Driver::batch`].
    pub(crate) async fn batch_on(
        &self,
        table: &Table,
        class: Class,
        calls: impl Fn(&str) -> Vec<Call>,
    ) -> Result<Rows> {
        self.on_table(table, |name| self.driver.batch(class, calls(&name))).await
    }

    async fn on_table<F>(&self, table: &Table, run: impl Fn(Arc<str>) -> F) -> Result<Rows>
    where
        F: Future<Output = Result<Rows>>,
    {
        let mut pause = FIRST_PAUSE;
        loop {
            let name = self.tables.ready(self, table).await?;
            match run(Arc::clone(&name)).await {
                // Another handle may have dropped it since; or is making it, and the node does not yet know it.
                Err(error) if error.kind() == ErrorKind::NotFound && pause <= LAST_PAUSE => {
                    self.tables.forget(table.name);
                    tokio::time::sleep(pause).await;
                    deadline::beside(self.driver.await_agreement()).await?;
                    pause *= 4;
                }
                answer => return answer.map_err(|error| table.lacks_a_column(error, &name)),
            }
        }
    }

    /// Runs a statement that names its table itself.
    pub(crate) async fn run(&self, call: Call) -> Result<Rows> {
        self.driver.run(call).await
    }

    /// Lets go of the session. Calls in flight may yet finish, streams end with `Unavailable` at their next page.
    pub(crate) fn close(&self) {
        self.driver.close();
    }
}
