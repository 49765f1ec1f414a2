//! Statements that others wrote: what the server says of one before it is run.

use cdrs_tokio::frame::message_result::{BodyResResultPrepared, ColSpec, TableSpec};
use cdrs_tokio::query::PreparedQuery;
use store_core::Result;

use super::asking::Place;
use super::{Call, CassandraSession, Class, Driver, Rows, types};
use crate::cells::Column;
use crate::error::from_driver;

/// A prepared statement. It is not kept, so that those of the store's own are not driven out by what people ask for
/// once.
#[derive(Debug)]
pub(crate) struct Described {
    prepared: PreparedQuery,
    /// The values that it asks for, in order.
    pub(crate) markers: Vec<Column>,
    /// What it answers; nothing, unless it reads.
    pub(crate) columns: Vec<Column>,
    /// Keyspace and table of each column of the answer, all different.
    pub(crate) tables: Vec<(String, String)>,
}

impl Described {
    fn new(text: &str, body: BodyResResultPrepared) -> Self {
        let answer = body.result_metadata;
        let one = answer.global_table_spec.iter();
        let each = answer.col_specs.iter().filter_map(|column: &ColSpec| column.table_spec.as_ref());
        let named = |of: &TableSpec| (of.ks_name.clone(), of.table_name.clone());
        let mut tables: Vec<(String, String)> = one.chain(each).map(named).collect();
        tables.sort_unstable();
        tables.dedup();
        Self {
            markers: types::columns(&body.metadata.col_specs),
            columns: types::columns(&answer.col_specs),
            tables,
            prepared: PreparedQuery {
                id: body.id,
                query: text.to_owned(),
                keyspace: body.metadata.global_table_spec.map(|of| of.ks_name),
                pk_indexes: body.metadata.pk_indexes,
                result_metadata_id: body.result_metadata_id.map(std::sync::Arc::new).into(),
            },
        }
    }
}

impl Driver {
    /// Has the server read a statement. Nothing is run.
    pub(crate) async fn describe(&self, text: &str) -> Result<Described> {
        self.session()?;
        let describe = || async {
            let answer = match &self.session {
                CassandraSession::Tcp(session) => session.prepare_raw(text).await,
                CassandraSession::Tls(session) => session.prepare_raw(text).await,
            };
            answer.map(|body| Described::new(text, body)).map_err(from_driver)
        };
        self.within(Class::Read, Place::default(), describe).await
    }

    /// Runs what was described; the call's text is not looked at.
    pub(crate) async fn run_described(&self, described: &Described, call: Call) -> Result<Rows> {
        self.session()?;
        let run = || self.execute(&described.prepared, &call);
        self.within(call.class, Place::default(), run).await
    }
}
