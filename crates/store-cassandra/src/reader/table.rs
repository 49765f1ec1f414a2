//! A table as its schema says, and the statements that read it.
//!
//! It is read in the order of its tokens, cut into ranges that are equally wide. After a row come the rest of its
//! partition, other partitions of its token (there are hardly ever any), the rest of its range, and the ranges after it.

use std::sync::Arc;

use store_core::kit::check;
use store_core::{Error, ErrorKind, Result};

use super::CassandraReader;
use super::pages::Part;
use super::place::{Key, damaged};
use super::record::find_column;
use crate::codec::{bigint, text};
use crate::config::CassandraConsistency;
use crate::schema::{qualified, quoted};
use crate::session::{Call, Class, Value, bytes};
use crate::space::Space;

/// The partitioner whose tokens are all numbers of 64 bits but the least.
const MURMUR3: &str = "org.apache.cassandra.dht.Murmur3Partitioner";

/// A table as its schema says.
#[derive(Debug)]
pub(super) struct Table {
    /// Keyspace and name, as people write them.
    shown: String,
    /// And as CQL has them.
    full: String,
    partition: Vec<String>,
    clustering: Vec<Clustering>,
    /// All columns, in the order of their names.
    columns: Vec<String>,
}

#[derive(Debug)]
struct Clustering {
    name: String,
    descending: bool,
}

/// Every node has its own copy of the tables of the schema.
fn of_schema(statement: &str, values: Vec<Value>) -> Call {
    Call::new(Class::Read, statement, values).with_consistency(CassandraConsistency::One)
}

impl Table {
    /// Looks at a table; `NotFound` when it is not there.
    pub(super) async fn look(space: &Space, keyspace: &str, name: &str) -> Result<Self> {
        let find = "SELECT column_name, kind, position, clustering_order FROM system_schema.columns \
                    WHERE keyspace_name = ? AND table_name = ?";
        let rows = space.run(of_schema(find, vec![text(keyspace), text(name)])).await?;
        if rows.is_empty() {
            let message = format!(
                "there is no table {keyspace}.{name}; check its name, in which capital letters count, and the keyspace"
            );
            return Err(Error::new(ErrorKind::NotFound, message));
        }
        let (mut partition, mut clustering, mut columns) = (Vec::new(), Vec::new(), Vec::new());
        for row in rows.iter() {
            let name = row.needed_text("column_name")?.to_owned();
            let position = row.integer("position")?;
            match row.needed_text("kind")? {
                "partition_key" => partition.push((position, name.clone())),
                "clustering" => {
                    let descending = row.text("clustering_order")? == Some("desc");
                    clustering.push((position, Clustering { name: name.clone(), descending }));
                }
                _ => {}
            }
            columns.push(name);
        }
        partition.sort_by_key(|(position, _)| *position);
        clustering.sort_by_key(|(position, _)| *position);
        Ok(Self {
            shown: format!("{keyspace}.{name}"),
            full: qualified(keyspace, name),
            partition: partition.into_iter().map(|(_, name)| name).collect(),
            clustering: clustering.into_iter().map(|(_, column)| column).collect(),
            columns,
        })
    }

    /// The columns of the primary key.
    pub(super) fn key(&self) -> impl Iterator<Item = &str> {
        let clustering = self.clustering.iter().map(|column| &column.name);
        self.partition.iter().chain(clustering).map(String::as_str)
    }

    /// The columns that are read: first those of the key, then those of the fields, all of which must be there.
    pub(super) fn wanted(&self, reader: &CassandraReader) -> Result<Vec<&str>> {
        let columns: Vec<&str> = self.columns.iter().map(String::as_str).collect();
        let mut wanted: Vec<&str> = self.key().collect();
        wanted.extend(columns_of(reader, &format!("the table {}", self.shown), &columns)?);
        Ok(check::unique_by(wanted, false, |name| *name))
    }

    /// The statements that read these columns, in order, after a row.
    pub(super) async fn parts(
        &self,
        reader: &CassandraReader,
        wanted: &[&str],
        after: Option<&Key>,
    ) -> Result<Vec<Part>> {
        let select = format!("SELECT {} FROM {}", names(wanted.iter().copied()), self.full);
        let (token, bound) = self.token();
        let ranges = has_ranges(&reader.space).await?;
        let part = |condition: &str, values: Vec<Value>, upto: i64| {
            let statement: Arc<str> = format!("{select}{condition}").into();
            Part { statement, values, upto, from: None, first: 0 }
        };
        let mut parts = Vec::new();
        let mut from = i64::MIN;
        if let Some(key) = after {
            let cells = key.cells()?;
            let (partition, clustering) = cells.split_at_checked(self.partition.len()).ok_or_else(damaged)?;
            if clustering.len() != self.clustering.len() {
                return Err(damaged());
            }
            let partition: Vec<Vec<u8>> =
                partition.iter().cloned().collect::<Option<_>>().ok_or_else(damaged)?;
            let values = || -> Vec<Value> { partition.iter().cloned().map(bytes).collect() };
            for last in (0..clustering.len()).rev() {
                if let Some((condition, more)) = self.rest_of_partition(clustering, last) {
                    let values = values().into_iter().chain(more).collect();
                    parts.push(part(&condition, values, key.upto));
                }
            }
            for sibling in self.siblings(reader, &partition).await? {
                let sibling = sibling.into_iter().map(bytes).collect();
                parts.push(part(&format!(" WHERE {}", self.is_partition()), sibling, key.upto));
            }
            let mut values = values();
            let condition = if ranges {
                values.push(bigint(key.upto));
                format!(" WHERE {token} > {bound} AND {token} <= ?")
            } else {
                format!(" WHERE {token} > {bound}")
            };
            parts.push(part(&condition, values, key.upto));
            from = if ranges { key.upto } else { i64::MAX };
        }
        if !ranges {
            parts.extend(after.is_none().then(|| part("", Vec::new(), i64::MAX)));
            return Ok(parts);
        }
        let condition = format!(" WHERE {token} > ? AND {token} <= ?");
        let statement: Arc<str> = format!("{select}{condition}").into();
        parts.extend(self::ranges(reader.segments, from).map(|(from, upto)| Part {
            statement: Arc::clone(&statement),
            values: vec![bigint(from), bigint(upto)],
            upto,
            from: None,
            first: 0,
        }));
        Ok(parts)
    }

    /// The token of a row's partition, and that of a partition whose key is bound.
    fn token(&self) -> (String, String) {
        let marks = vec!["?"; self.partition.len()].join(", ");
        (format!("token({})", names(self.partition.iter().map(String::as_str))), format!("token({marks})"))
    }

    fn is_partition(&self) -> String {
        let equal: Vec<String> = self.partition.iter().map(|name| format!("{} = ?", quoted(name))).collect();
        equal.join(" AND ")
    }

    /// What comes after a row in its partition and has its clustering columns before `last`; nothing after the row that
    /// a partition has which has no rows but static columns.
    fn rest_of_partition(&self, clustering: &[Option<Vec<u8>>], last: usize) -> Option<(String, Vec<Value>)> {
        let values: Vec<Value> =
            clustering.iter().take(last + 1).map(|cell| cell.clone().map(bytes)).collect::<Option<_>>()?;
        let mut conditions = vec![format!(" WHERE {}", self.is_partition())];
        for (place, column) in self.clustering.iter().enumerate().take(last + 1) {
            let compares = match (place == last, column.descending) {
                (false, _) => "=",
                (true, false) => ">",
                (true, true) => "<",
            };
            conditions.push(format!("{} {compares} ?", quoted(&column.name)));
        }
        Some((conditions.join(" AND "), values))
    }

    /// The partitions that have the same token and come later, which is by the bytes of their keys.
    async fn siblings(&self, reader: &CassandraReader, partition: &[Vec<u8>]) -> Result<Vec<Vec<Vec<u8>>>> {
        let (token, bound) = self.token();
        let names = names(self.partition.iter().map(String::as_str));
        let list = format!("SELECT DISTINCT {names} FROM {} WHERE {token} = {bound}", self.full);
        let mut call = Call::new(Class::Read, list, partition.iter().cloned().map(bytes).collect());
        if let Some(consistency) = reader.consistency {
            call = call.with_consistency(consistency);
        }
        let mut siblings = Vec::new();
        for row in reader.space.run(call).await?.iter() {
            let key: Vec<Vec<u8>> = row.cells().map(|cell| cell.unwrap_or_default().to_vec()).collect();
            if serialized(&key) > serialized(partition) {
                siblings.push(key);
            }
        }
        siblings.sort_by_key(|key| serialized(key));
        Ok(siblings)
    }
}

/// The columns of `of` in which the fields and the id are; `InvalidInput`, which lists the columns, where one is not.
pub(super) fn columns_of<'a>(
    reader: &CassandraReader,
    of: &str,
    columns: &[&'a str],
) -> Result<Vec<&'a str>> {
    let missing = |field: &str| {
        Error::invalid_input(format!("{of} has no column {field:?}; it has {}", columns.join(", ")))
    };
    let column = |field: &str| {
        let place = find_column(columns, field).map(|(place, _)| place);
        place.and_then(|place| columns.get(place).copied()).ok_or_else(|| missing(field))
    };
    let mut found = reader.shape.fields().map(column).collect::<Result<Vec<&str>>>()?;
    if let Some(id) = &reader.id_field {
        found.push(columns.iter().find(|column| *column == id).copied().ok_or_else(|| missing(id))?);
    }
    Ok(found)
}

fn names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(quoted).collect::<Vec<_>>().join(", ")
}

/// Whether the cluster's tokens can be cut into ranges.
async fn has_ranges(space: &Space) -> Result<bool> {
    let find = "SELECT partitioner FROM system.local WHERE key = 'local'";
    let rows = space.run(of_schema(find, Vec::new())).await?;
    Ok(rows.first().map(|row| row.text("partitioner")).transpose()?.flatten() == Some(MURMUR3))
}

/// Ranges of tokens, without their first token and with their last, of all tokens after `from`. They end where those of
/// all tokens do.
fn ranges(segments: usize, from: i64) -> impl Iterator<Item = (i64, i64)> {
    let (least, most) = (i128::from(i64::MIN), i128::from(i64::MAX));
    let count = i128::try_from(segments).unwrap_or(1).max(1);
    let end = move |place: i128| i64::try_from(least + (most - least) * place / count).unwrap_or(i64::MAX);
    (0..count).map(move |place| (end(place).max(from), end(place + 1))).filter(|(from, upto)| from < upto)
}

/// A partition's key as Cassandra orders keys of one token (`CompositeType`, where it has several columns).
fn serialized(key: &[Vec<u8>]) -> Vec<u8> {
    if let [only] = key {
        return only.clone();
    }
    let part = |cell: &Vec<u8>| {
        let length = u16::try_from(cell.len()).unwrap_or(u16::MAX).to_be_bytes();
        [&length, cell.as_slice(), &[0]].concat()
    };
    key.iter().flat_map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_whole_and_do_not_overlap() {
        for segments in [1, 2, 3, 128, 1_000] {
            for from in [i64::MIN, -1, 0, 17, i64::MAX - 1] {
                let ranges: Vec<_> = ranges(segments, from).collect();
                assert_eq!((ranges[0].0, ranges[ranges.len() - 1].1), (from, i64::MAX));
                assert!(ranges.windows(2).all(|pair| pair[0].1 == pair[1].0));
                assert!(ranges.iter().all(|(from, upto)| from < upto));
            }
            assert_eq!(ranges(segments, i64::MIN).count(), segments);
            assert_eq!(ranges(segments, i64::MAX).count(), 0);
        }
    }

    #[test]
    fn after_a_row_come_longer_and_shorter_prefixes() {
        let column = |name: &str, descending| Clustering { name: name.to_owned(), descending };
        let table = Table {
            shown: String::new(),
            full: String::new(),
            partition: vec!["a".to_owned()],
            clustering: vec![column("b", true), column("C", false)],
            columns: Vec::new(),
        };
        let cells = [Some(vec![1]), Some(vec![2])];
        let (condition, values) = table.rest_of_partition(&cells, 1).unwrap();
        assert_eq!((condition.as_str(), values.len()), (" WHERE \"a\" = ? AND \"b\" = ? AND \"C\" > ?", 2));
        let (condition, values) = table.rest_of_partition(&cells, 0).unwrap();
        assert_eq!((condition.as_str(), values.len()), (" WHERE \"a\" = ? AND \"b\" < ?", 1));
        assert!(table.rest_of_partition(&[None, None], 0).is_none());
        assert_eq!(table.token(), ("token(\"a\")".to_owned(), "token(?)".to_owned()));
    }

    #[test]
    fn keys_of_several_columns_are_composed() {
        assert_eq!(serialized(&[vec![7, 8]]), [7, 8]);
        assert_eq!(serialized(&[vec![7], vec![]]), [0, 1, 7, 0, 0, 0, 0]);
    }
}
