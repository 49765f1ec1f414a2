//! What a backend and all its roles share: the session, the settings, the tables.

use store_core::{ErrorKind, Result};

use crate::config::CassandraConfig;
use crate::schema::{self, Table};
use crate::session::{Call, CassandraSession, Driver, Rows};
use crate::tables::Tables;
use crate::vector::Memories;

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
        let name = self.tables.ready(self, table).await?;
        match self.driver.run(call(&name)).await {
            // Another handle may have dropped it since.
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.tables.forget(table.name);
                let name = self.tables.ready(self, table).await?;
                self.driver.run(call(&name)).await
            }
            answer => answer,
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
