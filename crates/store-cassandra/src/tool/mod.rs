//! A tool for agents and people: reads, and nothing else.

mod answer;
mod lexer;
mod names;
mod parser;
mod request;
mod run;
mod schema;
mod scope;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value as Json;
use store_core::{Error, ErrorKind, Result};

pub use answer::{ToolAnswer, ToolColumn, ToolIndex, ToolRows, ToolSchema, ToolTable};
pub(crate) use parser::Select;
pub use request::{CqlQuery, SelectCondition, SelectOp, SelectOrder, TableSelect, ToolFunction};
use request::{QUERY, SCHEMA, SELECT, SchemaRequest};
use scope::Scope;

use crate::CassandraBackend;
use crate::error::at;
use crate::space::Space;

/// Rows of an answer: when nothing is said, and at most.
const ROWS: (usize, usize) = (50, 1_000);
/// The same in bytes of JSON.
const BYTES: (usize, usize) = (64 << 10, 1 << 20);
/// How long a call may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// Three functions that let a model, or a person, look into tables of a cluster, and change nothing: `query` runs one
/// SELECT, `schema` describes tables, `select_table_data` reads rows by conditions that are data.
///
/// - A statement is read here to its end by a parser of CQL, and sent as it was understood: one SELECT of one table.
///   The server then says which table it would read, before it does.
/// - Only tables of the store's keyspace are read, or those that [`with_keyspace`](Self::with_keyspace) and
///   [`with_tables`](Self::with_tables) name. Keyspaces of the server's own are never read or listed.
/// - No answer is longer than its limits of rows and bytes, and no call takes longer than its deadline.
/// - Nothing reads a whole table to answer a few rows, unless [`with_scans`](Self::with_scans) allows it; functions of
///   users are called only when [`with_functions`](Self::with_functions) names them.
///
/// An error says what to do next, in words that a model can follow: give it back as the function's answer.
///
/// ```no_run
/// # use serde_json::json;
/// # use store_cassandra::{CassandraBackend, CassandraConfig, CassandraTool, SelectOp, TableSelect};
/// # async fn example() -> store_core::Result<()> {
/// let store = CassandraBackend::connect(CassandraConfig::new("shop")).await?;
/// let tool = CassandraTool::new(&store).with_tables("shop", ["orders", "customers"]).with_rows(20, 200);
///
/// // For a model: what it may call, then what it called.
/// for function in tool.functions() {
///     println!("{}: {}", function.name, function.parameters);
/// }
/// let arguments = json!({"query": "SELECT id, total FROM orders WHERE customer = ?", "values": ["c-17"]});
/// match tool.call("cassandra_db_query", arguments).await {
///     Ok(answer) => println!("{}", answer.text),
///     Err(error) => println!("{error}"),
/// }
///
/// // For a program.
/// let select = TableSelect::new("orders").with_condition("customer", SelectOp::Equal, "c-17").with_limit(5);
/// for row in tool.select_table_data(&select).await?.rows {
///     println!("{:?}", row.get("total"));
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct CassandraTool {
    space: Arc<Space>,
    scope: Scope,
    /// Whether the scope is no longer the one it began with.
    named: bool,
    rows: (usize, usize),
    bytes: (usize, usize),
    deadline: Duration,
    scans: bool,
    functions: BTreeSet<String>,
}

impl fmt::Debug for CassandraTool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CassandraTool").field("scope", &self.scope.0).finish_non_exhaustive()
    }
}

impl CassandraTool {
    /// A tool that reads all tables of the store's keyspace, of every namespace. At most 50 rows and 64 KiB of JSON are
    /// answered when nothing else is said, at most 1,000 rows and 1 MiB when it is; a call takes at most 10 s.
    #[must_use]
    pub fn new(backend: &CassandraBackend) -> Self {
        let space = Arc::clone(&backend.space);
        Self {
            scope: Scope(BTreeMap::from([(space.keyspace.clone(), None)])),
            space,
            named: false,
            rows: ROWS,
            bytes: BYTES,
            deadline: DEADLINE,
            scans: false,
            functions: BTreeSet::new(),
        }
    }

    /// Lets all tables of a keyspace be read. The first keyspace that is named, here or by
    /// [`with_tables`](Self::with_tables), takes the place of the store's own.
    #[must_use]
    pub fn with_keyspace(self, keyspace: impl Into<String>) -> Self {
        self.with_scope(keyspace.into(), None)
    }

    /// Lets these tables and materialized views of a keyspace be read, and none of its others.
    #[must_use]
    pub fn with_tables(
        self,
        keyspace: impl Into<String>,
        tables: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        self.with_scope(keyspace.into(), Some(tables.into_iter().map(Into::into).collect()))
    }

    fn with_scope(mut self, keyspace: String, tables: Option<BTreeSet<String>>) -> Self {
        if !self.named {
            self.scope.0.clear();
        }
        self.named = true;
        self.scope.0.insert(keyspace, tables);
        self
    }

    /// Sets how many rows are answered when a call does not say, and at most; default 50 and 1,000.
    #[must_use]
    pub fn with_rows(mut self, default: usize, most: usize) -> Self {
        self.rows = (default, most);
        self
    }

    /// Sets how many bytes of JSON are answered when a call does not say, and at most; default 64 KiB and 1 MiB.
    #[must_use]
    pub fn with_bytes(mut self, default: usize, most: usize) -> Self {
        self.bytes = (default, most);
        self
    }

    /// Sets how long a call may take, whatever it reads; default 10 s.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Says whether statements may read whole tables: `ALLOW FILTERING`, and counts, sums and groups without a whole
    /// partition key. Default `false`. The limits of an answer do not bound what these read; only the deadline does, and
    /// not on the server.
    #[must_use]
    pub fn with_scans(mut self, scans: bool) -> Self {
        self.scans = scans;
        self
    }

    /// Lets functions of users be called, named as they are written: `function`, or `keyspace.function`. Default none.
    /// Cassandra's own functions, none of which changes anything, may always be called.
    #[must_use]
    pub fn with_functions(mut self, functions: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.functions.extend(functions.into_iter().map(Into::into));
        self
    }

    /// What to tell a model of the functions: names, descriptions, JSON schemas of the arguments.
    #[must_use]
    pub fn functions(&self) -> Vec<ToolFunction> {
        let of = |keyspace: &String| match self.scope.0.get(keyspace) {
            Some(Some(tables)) => {
                let tables: Vec<&str> = tables.iter().map(String::as_str).collect();
                format!("of the keyspace {keyspace} the tables {}", tables.join(", "))
            }
            _ => format!("all tables of the keyspace {keyspace}"),
        };
        let scope: Vec<String> = self.scope.keyspaces().map(of).collect();
        let (rows, most) = self.rows;
        request::functions(&scope.join("; "), &self.space.keyspace, rows.min(most), most, self.scans)
    }

    /// Calls a function by its name: `cassandra_db_query`, `cassandra_db_schema` or `cassandra_db_select_table_data`, each
    /// also without `cassandra_db_`. The arguments are a JSON object, or the text of one, as models write it; the fields
    /// are those of [`CqlQuery`] and [`TableSelect`], and `keyspace` and `table` for the schema.
    ///
    /// # Errors
    /// As of the three functions; `InvalidInput` for other names and arguments.
    pub async fn call(&self, function: &str, arguments: Json) -> Result<ToolAnswer> {
        match full_name(function) {
            Some(QUERY) => {
                let query = request::arguments(function, arguments).map_err(at("tool.query"))?;
                let rows = self.query(&query).await?;
                ToolAnswer::new(&rows, rows.to_text())
            }
            Some(SCHEMA) => {
                let SchemaRequest { keyspace, table } =
                    request::arguments(function, arguments).map_err(at("tool.schema"))?;
                let schema = self.schema(keyspace.as_deref(), table.as_deref()).await?;
                ToolAnswer::new(&schema, schema.to_text())
            }
            Some(_) => {
                let select = request::arguments(function, arguments).map_err(at("tool.select_table_data"))?;
                let rows = self.select_table_data(&select).await?;
                ToolAnswer::new(&rows, rows.to_text())
            }
            None => {
                let message =
                    format!("there is no function {function:?}; there are {QUERY}, {SCHEMA} and {SELECT}");
                Err(at("tool.call")(Error::invalid_input(message)))
            }
        }
    }

    /// Runs one SELECT.
    ///
    /// # Errors
    /// `InvalidInput` for what is not one SELECT, names a column that is not there, or that the server can not answer;
    /// `Unauthorized` for tables, functions and scans that are not allowed; `NotFound` for a missing table;
    /// `LimitExceeded` when one row alone is too large; `Timeout` past the deadline. The message says what to do.
    pub async fn query(&self, query: &CqlQuery) -> Result<ToolRows> {
        self.in_time(self.run(query)).await.map_err(at("tool.query"))
    }

    /// Reads rows of one table.
    ///
    /// # Errors
    /// As of [`query`](Self::query).
    pub async fn select_table_data(&self, select: &TableSelect) -> Result<ToolRows> {
        let query = select.to_query(&self.space.keyspace);
        self.in_time(self.run(&query)).await.map_err(at("tool.select_table_data"))
    }

    /// Describes the tables that may be read: of one keyspace, or only that of a name, if they are given.
    ///
    /// # Errors
    /// `Unauthorized` for what may not be read, `NotFound` for what is not there.
    pub async fn schema(&self, keyspace: Option<&str>, table: Option<&str>) -> Result<ToolSchema> {
        self.in_time(self.described(keyspace, table)).await.map_err(at("tool.schema"))
    }

    async fn described(&self, keyspace: Option<&str>, table: Option<&str>) -> Result<ToolSchema> {
        let keyspaces = match keyspace {
            Some(keyspace) => {
                self.scope.check_keyspace(keyspace)?;
                vec![keyspace.to_owned()]
            }
            None => self.scope.keyspaces().cloned().collect(),
        };
        let mut schema = ToolSchema::default();
        let mut bytes = 0;
        for keyspace in &keyspaces {
            if let (Some(table), [_]) = (table, keyspaces.as_slice()) {
                self.scope.check(keyspace, table)?;
            }
            let mut tables = schema::tables(&self.space, keyspace, table).await?;
            tables.retain(|table| self.scope.allows(keyspace, &table.name));
            // What can not fit is not read.
            let room = if bytes < self.bytes.1 { self.rows.1.min(tables.len()) } else { 0 };
            let later = tables.split_off(room);
            schema::describe(&self.space, keyspace, &mut tables).await?;
            for table in tables {
                bytes += serde_json::to_string(&table).map_or(0, |text| text.len());
                if bytes <= self.bytes.1 {
                    schema.tables.push(table);
                } else {
                    schema.omitted.push(format!("{keyspace}.{}", table.name));
                }
            }
            schema.omitted.extend(later.iter().map(|table| format!("{keyspace}.{}", table.name)));
        }
        if let (Some(table), []) = (table, schema.tables.as_slice()) {
            let message = format!(
                "there is no table {table} in {}; call without the table to see which there are",
                keyspaces.join(", ")
            );
            return Err(Error::new(ErrorKind::NotFound, message));
        }
        Ok(schema)
    }

    async fn in_time<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        let late = |_| {
            let message = format!(
                "not done within {} ms; ask for less: name the partition key, or take a smaller limit",
                self.deadline.as_millis()
            );
            Error::new(ErrorKind::Timeout, message)
        };
        tokio::time::timeout(self.deadline, Box::pin(call)).await.map_err(late)?
    }
}

fn full_name(function: &str) -> Option<&'static str> {
    let short = |name: &'static str| name.strip_prefix("cassandra_db_").unwrap_or(name);
    [QUERY, SCHEMA, SELECT].into_iter().find(|name| *name == function || short(name) == function)
}
