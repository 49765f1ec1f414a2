//! Secondary indexes, declared.

use std::collections::BTreeMap;

use crate::schema::{quoted, string};

/// The class of an index attached to the storage (SAI).
const SAI: &str = "StorageAttachedIndex";
/// What the nodes list as options beside those that were given.
const NOT_GIVEN: [&str; 2] = ["target", "class_name"];

/// An index on a column as it shall be, see [`ensure_schema`](crate::CassandraBackend::ensure_schema).
///
/// Prefer [`sai`](Self::sai) on Cassandra 5: it serves ranges, several indexes in one query, collections and texts in any
/// case. [`secondary`](Self::secondary) is the older kind, for equality on columns with few different values, best
/// together with a whole partition key. Neither takes the place of a table with the right key: without a partition key
/// all nodes are asked.
///
/// ```
/// use store_cassandra::CassandraIndex;
///
/// let indexes = [
///     CassandraIndex::sai("country").case_insensitive(),
///     CassandraIndex::sai("tags").on_values(),
///     CassandraIndex::sai("attributes").on_entries(),
///     CassandraIndex::secondary("state").named("by_state"),
/// ];
/// assert_eq!(indexes[0].name("birds"), "birds_country_sai");
/// assert_eq!(indexes[2].name("birds"), "birds_attributes_entries_sai");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct CassandraIndex {
    pub(super) column: String,
    part: Option<&'static str>,
    sai: bool,
    options: BTreeMap<String, String>,
    name: Option<String>,
}

impl CassandraIndex {
    /// Attached to the storage, of Cassandra 5.
    pub fn sai(column: impl Into<String>) -> Self {
        Self { column: column.into(), part: None, sai: true, options: BTreeMap::new(), name: None }
    }

    /// A table of its own on each node, of every version (2i).
    pub fn secondary(column: impl Into<String>) -> Self {
        Self { sai: false, ..Self::sai(column) }
    }

    /// The keys of a map: `column CONTAINS KEY ?`.
    pub fn on_keys(self) -> Self {
        self.on("keys")
    }

    /// The values of a list, set or map: `column CONTAINS ?`; what is meant for these when nothing else is said.
    pub fn on_values(self) -> Self {
        self.on("values")
    }

    /// The entries of a map: `column[?] = ?`.
    pub fn on_entries(self) -> Self {
        self.on("entries")
    }

    /// The whole of a frozen collection.
    pub fn on_full(self) -> Self {
        self.on("full")
    }

    fn on(mut self, part: &'static str) -> Self {
        self.part = Some(part);
        self
    }

    /// Texts are found in whatever case they are written; of SAI.
    pub fn case_insensitive(self) -> Self {
        self.with_option("case_sensitive", "false")
    }

    /// Texts are compared in Unicode's normal form (NFC); of SAI.
    pub fn normalized(self) -> Self {
        self.with_option("normalize", "true")
    }

    /// Any other option of the index.
    pub fn with_option(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.options.insert(name.into(), value.into());
        self
    }

    /// Another name than the one made of table and column.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The name on this table: the one given, else table, column, part and kind joined by `_`.
    #[must_use]
    pub fn name(&self, table: &str) -> String {
        let made = || {
            let kind = if self.sai { "sai" } else { "idx" };
            let parts = [Some(table), Some(&self.column), self.part, Some(kind)];
            parts.into_iter().flatten().collect::<Vec<_>>().join("_")
        };
        self.name.clone().unwrap_or_else(made)
    }

    /// The statement that makes it; `full` is the table's name with its keyspace.
    pub(super) fn create(&self, table: &str, full: &str) -> String {
        let (name, column) = (quoted(&self.name(table)), quoted(&self.column));
        let target = self.part.map_or(column.clone(), |part| format!("{part}({column})"));
        let begin = if self.sai { "CREATE CUSTOM INDEX" } else { "CREATE INDEX" };
        let using = if self.sai { format!(" USING '{SAI}'") } else { String::new() };
        let options: Vec<String> =
            self.options.iter().map(|(name, value)| format!("{}: {}", string(name), string(value))).collect();
        let options = match options.as_slice() {
            [] => String::new(),
            options => format!(" WITH OPTIONS = {{{}}}", options.join(", ")),
        };
        format!("{begin} IF NOT EXISTS {name} ON {full} ({target}){using}{options}")
    }

    fn declared(&self) -> LiveIndex {
        let column = self.column.clone();
        let part = self.part.filter(|part| *part != "values").unwrap_or_default().to_owned();
        LiveIndex { name: String::new(), column, part, sai: self.sai, options: self.options.clone() }
    }

    /// The index that this one stands for, and in what they differ: the one that is the same, else the one of the same
    /// name, else the one of that kind on the same part of the column.
    pub(super) fn counterpart<'a>(
        &self,
        table: &str,
        live: &'a [LiveIndex],
    ) -> Option<(&'a LiveIndex, Vec<String>)> {
        let (wanted, name) = (self.declared(), self.name(table));
        let of_kind = |found: &&LiveIndex| {
            (&found.column, &found.part, found.sai) == (&wanted.column, &wanted.part, wanted.sai)
        };
        let same = live.iter().find(|found| wanted.differences(found).is_empty());
        let same = same.or_else(|| live.iter().find(|found| found.name == name));
        let same = same.or_else(|| live.iter().find(of_kind));
        same.map(|found| (found, wanted.differences(found)))
    }
}

/// An index as the nodes list it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LiveIndex {
    pub(super) name: String,
    column: String,
    /// Empty for a column that is no collection, and for values.
    part: String,
    sai: bool,
    options: BTreeMap<String, String>,
}

impl LiveIndex {
    /// From its row in the schema.
    pub(super) fn of(name: &str, options: &[(&str, &str)]) -> Self {
        let option = |name| options.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
        let target = option("target").unwrap_or_default();
        let (part, column) = match target.strip_suffix(')').and_then(|inner| inner.split_once('(')) {
            Some((part, column)) => (part, column),
            None => ("", target),
        };
        let column = match column.strip_prefix('"').and_then(|column| column.strip_suffix('"')) {
            Some(quoted) => quoted.replace("\"\"", "\""),
            None => column.to_owned(),
        };
        let class = option("class_name").unwrap_or_default();
        let given = options.iter().filter(|(name, _)| !NOT_GIVEN.contains(name));
        Self {
            name: name.to_owned(),
            column,
            part: if part == "values" { String::new() } else { part.to_owned() },
            sai: class.eq_ignore_ascii_case("sai") || class.ends_with(SAI),
            options: given.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        }
    }

    fn differences(&self, found: &Self) -> Vec<String> {
        let mut differences = Vec::new();
        let mut compare = |what: &str, wanted: String, found: String| {
            if wanted != found {
                differences.push(format!("{what}: declared {wanted}, found {found}"));
            }
        };
        compare("column", self.target(), found.target());
        let kind = |index: &Self| if index.sai { "sai" } else { "secondary" }.to_owned();
        compare("kind", kind(self), kind(found));
        let names =
            self.options.keys().chain(found.options.keys().filter(|name| !self.options.contains_key(*name)));
        for name in names {
            let value = |index: &Self| index.options.get(name).map_or("none", String::as_str).to_owned();
            compare(name, value(self), value(found));
        }
        differences
    }

    fn target(&self) -> String {
        if self.part.is_empty() { self.column.clone() } else { format!("{}({})", self.part, self.column) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live(name: &str, target: &str, class: Option<&str>, options: &[(&str, &str)]) -> LiveIndex {
        let mut all = vec![("target", target)];
        all.extend(class.map(|class| ("class_name", class)));
        all.extend(options);
        LiveIndex::of(name, &all)
    }

    #[test]
    fn statements_are_quoted() {
        let index = CassandraIndex::sai("a\"b").on_entries().with_option("x'y", "1").named("n;");
        assert_eq!(
            index.create("t", "\"k\".\"t\""),
            "CREATE CUSTOM INDEX IF NOT EXISTS \"n;\" ON \"k\".\"t\" (entries(\"a\"\"b\")) USING \
             'StorageAttachedIndex' WITH OPTIONS = {'x''y': '1'}"
        );
        let index = CassandraIndex::secondary("state");
        assert_eq!(
            index.create("t", "\"k\".\"t\""),
            "CREATE INDEX IF NOT EXISTS \"t_state_idx\" ON \"k\".\"t\" (\"state\")"
        );
    }

    #[test]
    fn what_is_there_is_recognised() {
        let there = [
            live("one", "\"Country\"", Some("org.apache.cassandra.index.sai.StorageAttachedIndex"), &[]),
            live("two", "values(tags)", None, &[]),
            live("three", "entries(attributes)", Some("sai"), &[("case_sensitive", "false")]),
        ];
        let found = |index: &CassandraIndex| {
            index.counterpart("t", &there).map(|(found, differences)| (found.name.clone(), differences))
        };
        let same = |name: &str| Some((name.to_owned(), Vec::new()));
        assert_eq!(found(&CassandraIndex::sai("Country")), same("one"));
        assert_eq!(found(&CassandraIndex::secondary("tags")), same("two"));
        assert_eq!(found(&CassandraIndex::secondary("tags").on_values()), same("two"));
        assert_eq!(found(&CassandraIndex::sai("attributes").on_entries().case_insensitive()), same("three"));
        assert_eq!(
            found(&CassandraIndex::sai("attributes").on_entries().normalized()),
            Some((
                "three".to_owned(),
                vec![
                    "normalize: declared true, found none".to_owned(),
                    "case_sensitive: declared none, found false".to_owned()
                ]
            ))
        );
        assert_eq!(
            found(&CassandraIndex::sai("other").named("two")),
            Some((
                "two".to_owned(),
                vec![
                    "column: declared other, found tags".to_owned(),
                    "kind: declared sai, found secondary".to_owned()
                ]
            ))
        );
        assert_eq!(found(&CassandraIndex::sai("country")), None);
        assert_eq!(found(&CassandraIndex::secondary("Country")), None);
    }
}
