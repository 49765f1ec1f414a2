//! Transactions and tables: redb's, with our errors, over bytes.

use std::cell::Cell;

use redb::{ReadableTable as _, TableHandle as _};
use store_core::Result;

use crate::codec::Span;
use crate::error::from_redb;

type Bytes = &'static [u8];

/// A stored key or value; `value()` is its bytes.
pub(crate) type Guard<'a> = redb::AccessGuard<'a, Bytes>;

/// Rows in key order; double-ended.
pub(crate) struct Rows<'a>(Option<redb::Range<'a, Bytes, Bytes>>);

impl<'a> Iterator for Rows<'a> {
    type Item = Result<(Guard<'a>, Guard<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.as_mut()?.next().map(|row| row.map_err(from_redb))
    }
}

impl DoubleEndedIterator for Rows<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.0.as_mut()?.next_back().map(|row| row.map_err(from_redb))
    }
}

/// What a table of either transaction can read.
pub(crate) trait Table {
    /// The value of a key.
    fn get(&self, key: &[u8]) -> Result<Option<Guard<'_>>>;

    /// The rows of a span.
    fn range(&self, span: &Span) -> Result<Rows<'_>>;

    /// How many rows there are; cheap.
    fn len(&self) -> Result<u64>;
}

fn definition(name: &str) -> redb::TableDefinition<'_, Bytes, Bytes> {
    redb::TableDefinition::new(name)
}

/// A snapshot of everything that was committed when it began.
pub(crate) struct ReadTx(redb::ReadTransaction);

impl ReadTx {
    pub(super) fn new(transaction: redb::ReadTransaction) -> Self {
        Self(transaction)
    }

    /// A table; one that was never written is empty.
    pub(crate) fn table(&self, name: &str) -> Result<ReadTable> {
        match self.0.open_table(definition(name)) {
            Ok(table) => Ok(ReadTable(Some(table))),
            Err(redb::TableError::TableDoesNotExist(_)) => Ok(ReadTable(None)),
            Err(error) => Err(from_redb(error)),
        }
    }

    /// The names of all tables.
    pub(crate) fn table_names(&self) -> Result<Vec<String>> {
        let tables = self.0.list_tables().map_err(from_redb)?;
        Ok(tables.map(|table| table.name().to_owned()).collect())
    }
}

/// What a diagnosis asks of the whole file.
impl ReadTx {
    /// Bytes of all keys and values, with what it takes to find them. Reads the whole file.
    pub(crate) fn used_bytes(&self) -> Result<u64> {
        self.table_names()?.iter().try_fold(0_u64, |sum, name| {
            let Some(table) = self.table(name)?.0 else { return Ok(sum) };
            let stats = redb::ReadableTableMetadata::stats(&table).map_err(from_redb)?;
            Ok(sum.saturating_add(stats.stored_bytes()).saturating_add(stats.metadata_bytes()))
        })
    }
}

/// A table of a [`ReadTx`].
pub(crate) struct ReadTable(Option<redb::ReadOnlyTable<Bytes, Bytes>>);

impl Table for ReadTable {
    fn get(&self, key: &[u8]) -> Result<Option<Guard<'_>>> {
        let Some(table) = &self.0 else { return Ok(None) };
        table.get(key).map_err(from_redb)
    }

    fn range(&self, span: &Span) -> Result<Rows<'_>> {
        let Some(table) = &self.0 else { return Ok(Rows(None)) };
        table.range::<&[u8]>(span.bounds()).map(|range| Rows(Some(range))).map_err(from_redb)
    }

    fn len(&self) -> Result<u64> {
        let Some(table) = &self.0 else { return Ok(0) };
        redb::ReadableTableMetadata::len(table).map_err(from_redb)
    }
}

/// The transaction of a group of writes, as one of them sees it.
pub(crate) struct WriteTx {
    transaction: redb::WriteTransaction,
    touched: Cell<bool>,
}

impl WriteTx {
    pub(super) fn new(transaction: redb::WriteTransaction) -> Self {
        Self { transaction, touched: Cell::new(false) }
    }

    /// Whether anything was written since the last [`WriteTx::untouch`].
    pub(super) fn touched(&self) -> bool {
        self.touched.get()
    }

    pub(super) fn untouch(&self) {
        self.touched.set(false);
    }

    pub(super) fn into_inner(self) -> redb::WriteTransaction {
        self.transaction
    }

    /// A table, made if absent. It can be open only once at a time: let go of it before opening it again.
    pub(crate) fn table(&self, name: &str) -> Result<WriteTable<'_>> {
        let table = self.transaction.open_table(definition(name)).map_err(from_redb)?;
        Ok(WriteTable { table, touched: &self.touched })
    }

    /// Removes all tables whose name begins with `prefix`.
    pub(crate) fn drop_tables(&self, prefix: &str) -> Result<()> {
        let names: Vec<String> = self
            .transaction
            .list_tables()
            .map_err(from_redb)?
            .map(|table| table.name().to_owned())
            .filter(|name| name.starts_with(prefix))
            .collect();
        for name in names {
            self.touched.set(true);
            self.transaction.delete_table(definition(&name)).map_err(from_redb)?;
        }
        Ok(())
    }
}

/// A table of a [`WriteTx`].
pub(crate) struct WriteTable<'tx> {
    table: redb::Table<'tx, Bytes, Bytes>,
    touched: &'tx Cell<bool>,
}

impl WriteTable<'_> {
    /// Stores a row; answers the value it replaces.
    pub(crate) fn insert(&mut self, key: &[u8], value: &[u8]) -> Result<Option<Guard<'_>>> {
        self.touched.set(true);
        self.table.insert(key, value).map_err(from_redb)
    }

    /// Removes a row; answers its value.
    pub(crate) fn remove(&mut self, key: &[u8]) -> Result<Option<Guard<'_>>> {
        let removed = self.table.remove(key);
        // A key that is not there leaves nothing to commit.
        self.touched.set(self.touched.get() || !matches!(removed, Ok(None)));
        removed.map_err(from_redb)
    }

    /// Removes all rows of a span; answers how many.
    pub(crate) fn remove_span(&mut self, span: &Span) -> Result<usize> {
        let mut removed = 0;
        let result = self.table.retain_in::<&[u8], _>(span.bounds(), |_, _| {
            removed += 1;
            false
        });
        self.touched.set(self.touched.get() || removed > 0);
        result.map(|()| removed).map_err(from_redb)
    }
}

impl Table for WriteTable<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Guard<'_>>> {
        self.table.get(key).map_err(from_redb)
    }

    fn range(&self, span: &Span) -> Result<Rows<'_>> {
        self.table.range::<&[u8]>(span.bounds()).map(|range| Rows(Some(range))).map_err(from_redb)
    }

    fn len(&self) -> Result<u64> {
        redb::ReadableTableMetadata::len(&self.table).map_err(from_redb)
    }
}
