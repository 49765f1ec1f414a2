//! Making the tables that roles need, where that is asked for, and dropping those of a namespace.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use store_core::{Error, ErrorKind, Result};

use crate::codec::text;
use crate::deadline;
use crate::schema::{self, Table, qualified};
use crate::session::{Call, Class};
use crate::space::Space;

/// What is known of the tables.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    /// Those that are there, by their names without the namespace's.
    there: Mutex<HashMap<&'static str, There>>,
    /// One change of the schema at a time: nodes that are told of two at once may never agree.
    changing: tokio::sync::Mutex<()>,
}

/// A table that is there.
#[derive(Clone, Debug)]
struct There {
    /// Keyspace and table.
    full: Arc<str>,
    comment: Arc<str>,
}

impl Tables {
    /// The full name of a table, which is there now.
    pub(crate) async fn ready(&self, space: &Space, table: &Table) -> Result<Arc<str>> {
        if let Some(there) = self.known(table) {
            return Ok(there.full);
        }
        deadline::beside(self.make_ready(space, table)).await
    }

    async fn make_ready(&self, space: &Space, table: &Table) -> Result<Arc<str>> {
        let _changing = self.changing.lock().await;
        if let Some(there) = self.known(table) {
            return Ok(there.full);
        }
        let name = schema::table_name(&space.config, table.name);
        let full = qualified(&space.keyspace, &name);
        let mut comment = comment(space, &name).await?;
        if comment.is_none() {
            if !space.config.create {
                return Err(missing(&space.keyspace, &name));
            }
            make_keyspace(space).await?;
            let driver = space.driver();
            let definition = table.definition.replace("{buckets}", &space.config.buckets.to_string());
            driver.change_schema(&format!("CREATE TABLE IF NOT EXISTS {full} {definition}")).await?;
            for then in table.then {
                driver.change_schema(&then.replace("{table}", &full).replace("{name}", &name)).await?;
            }
            // Another may have been faster, and said otherwise.
            comment = self::comment(space, &name).await?;
        }
        let full: Arc<str> = full.into();
        let there = There { full: Arc::clone(&full), comment: comment.unwrap_or_default().into() };
        self.lock().insert(table.name, there);
        Ok(full)
    }

    /// Keeps other changes of the schema away.
    pub(crate) async fn changing(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.changing.lock().await
    }

    /// The comment of a table that was found [`ready`](Self::ready).
    pub(crate) fn comment(&self, table: &Table) -> Option<Arc<str>> {
        self.known(table).map(|there| there.comment)
    }

    /// Looks again whether a table is there.
    pub(crate) fn forget(&self, table: &str) {
        self.lock().remove(table);
    }

    fn known(&self, table: &Table) -> Option<There> {
        self.lock().get(table.name).cloned()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<&'static str, There>> {
        self.there.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether there is a table of this name in the keyspace.
pub(crate) async fn exists(space: &Space, table: &str) -> Result<bool> {
    Ok(comment(space, table).await?.is_some())
}

/// The comment of a table, empty where it has none; `None` when there is no such table.
async fn comment(space: &Space, table: &str) -> Result<Option<String>> {
    let find = "SELECT comment FROM system_schema.tables WHERE keyspace_name = ? AND table_name = ?";
    let find = Call::new(Class::Read, find, vec![text(space.keyspace.as_str()), text(table)]);
    let rows = space.run(find).await?;
    rows.first().map(|row| Ok(row.text("comment")?.unwrap_or_default().to_owned())).transpose()
}

pub(crate) fn missing(keyspace: &str, table: &str) -> Error {
    let message = format!(
        "there is no table {keyspace}.{table}; open the store with store.create=true to have it made, or check \
         keyspace and namespace"
    );
    Error::new(ErrorKind::NotFound, message)
}

pub(crate) async fn make_keyspace(space: &Space) -> Result<()> {
    let find = "SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = ?";
    let find = Call::new(Class::Read, find, vec![text(space.keyspace.as_str())]);
    if !space.run(find).await?.is_empty() {
        return Ok(());
    }
    let name = schema::quoted(&space.keyspace);
    let replication = space.config.replication.to_cql();
    space
        .driver()
        .change_schema(&format!("CREATE KEYSPACE IF NOT EXISTS {name} WITH replication = {replication}"))
        .await
}

/// The tables of the store's namespace, in order; of the keyspace without one.
pub(crate) async fn of_store(space: &Space) -> Result<Vec<String>> {
    let list = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ?";
    let list = Call::new(Class::Read, list, vec![text(space.keyspace.as_str())]);
    let prefix = schema::table_name(&space.config, "");
    let rows = space.run(list).await?;
    let mut names = Vec::with_capacity(rows.len());
    for row in rows.iter() {
        let name = row.needed_text("table_name")?;
        if name.starts_with(&prefix) {
            names.push(name.to_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Drops the tables of the store's namespace.
pub(crate) async fn drop_all(space: &Space) -> Result<()> {
    let _changing = space.tables.changing.lock().await;
    let names = of_store(space).await?;
    // A table can not go before its views.
    let list = "SELECT view_name, base_table_name FROM system_schema.views WHERE keyspace_name = ?";
    let views = space.run(Call::new(Class::Read, list, vec![text(space.keyspace.as_str())])).await?;
    for view in views.iter() {
        let table = view.needed_text("base_table_name")?;
        if names.iter().any(|name| name == table) {
            let full = qualified(&space.keyspace, view.needed_text("view_name")?);
            space.driver().change_schema(&format!("DROP MATERIALIZED VIEW IF EXISTS {full}")).await?;
        }
    }
    for name in names {
        let full = qualified(&space.keyspace, &name);
        space.driver().change_schema(&format!("DROP TABLE IF EXISTS {full}")).await?;
    }
    space.tables.lock().clear();
    Ok(())
}
