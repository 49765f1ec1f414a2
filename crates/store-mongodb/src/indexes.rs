//! Indexes declared as data, and made where they are missing.

use std::fmt;
use std::time::Duration;

use bson::{Bson, Document, doc};
use futures::TryStreamExt as _;
use mongodb::Collection;
use mongodb::options::WriteConcern;
use store_core::{Error, Result};

use crate::MongoBackend;
use crate::error::{at, code, from_driver};

/// The server's code for a collection that is not there; it then has no indexes.
const NO_COLLECTION: i32 = 26;
/// The members of a listed index that are compared, beside its keys and weights.
const OPTIONS: [&str; 7] = [
    "unique",
    "sparse",
    "hidden",
    "expireAfterSeconds",
    "partialFilterExpression",
    "default_language",
    "collation",
];

/// An index as it shall be: one field or several, and what else it does.
///
/// ```
/// use std::time::Duration;
/// use store_mongodb::MongoIndex;
/// use store_mongodb::bson::doc;
///
/// let indexes = [
///     MongoIndex::ascending("country").and_descending("year"),
///     MongoIndex::ascending("email").unique(),
///     MongoIndex::ascending("seen").expiring_after(Duration::from_hours(24)),
///     MongoIndex::text("title", 10).and_text("body", 1).language("german"),
///     MongoIndex::sphere("place"),
///     MongoIndex::ascending("owner").only_where(doc! {"open": true}),
/// ];
/// assert_eq!(indexes[0].name(), "country_1_year_-1");
/// ```
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct MongoIndex {
    keys: Vec<(String, Bson)>,
    weights: Document,
    options: Document,
    name: Option<String>,
}

impl MongoIndex {
    /// On a field, small values first. A dotted path reaches into objects; of an array each item is indexed.
    pub fn ascending(field: impl Into<String>) -> Self {
        Self::new().and_ascending(field)
    }

    /// On a field, great values first.
    pub fn descending(field: impl Into<String>) -> Self {
        Self::new().and_descending(field)
    }

    /// On the words of a text field, for `$text`; a hit counts `weight` times. A collection has one text index at
    /// most, of any number of fields.
    pub fn text(field: impl Into<String>, weight: u16) -> Self {
        Self::new().and_text(field, weight)
    }

    /// On places on earth, `GeoJSON` or pairs of longitude and latitude (`2dsphere`).
    pub fn sphere(field: impl Into<String>) -> Self {
        Self::new().and_sphere(field)
    }

    /// On the hash of a field: for equality, and for shard keys.
    pub fn hashed(field: impl Into<String>) -> Self {
        Self::new().and(field, Bson::from("hashed"))
    }

    /// Then by another field, small values first.
    pub fn and_ascending(self, field: impl Into<String>) -> Self {
        self.and(field, Bson::Int32(1))
    }

    /// Then by another field, great values first.
    pub fn and_descending(self, field: impl Into<String>) -> Self {
        self.and(field, Bson::Int32(-1))
    }

    /// And the words of another field.
    pub fn and_text(mut self, field: impl Into<String>, weight: u16) -> Self {
        let field = field.into();
        self.weights.insert(field.clone(), i32::from(weight));
        self.and(field, Bson::from("text"))
    }

    /// And places in another field.
    pub fn and_sphere(self, field: impl Into<String>) -> Self {
        self.and(field, Bson::from("2dsphere"))
    }

    /// No two documents may have the same values; default: they may.
    pub fn unique(self) -> Self {
        self.option("unique", true)
    }

    /// Documents are removed this long after the date in the field, in whole seconds. The server looks about once
    /// a minute. For an index of one field.
    pub fn expiring_after(self, time: Duration) -> Self {
        let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        self.option("expireAfterSeconds", seconds)
    }

    /// Only documents that match are in the index, and a unique one binds only those; queries must repeat the
    /// condition to use it. The server takes equality, `$exists: true`, `$gt` and its like, `$type`, `$and`.
    pub fn only_where(self, condition: Document) -> Self {
        self.option("partialFilterExpression", condition)
    }

    /// The language of a text index; default `english`, and `none` leaves words as they are.
    pub fn language(self, language: impl Into<String>) -> Self {
        self.option("default_language", language.into())
    }

    /// Another name than the one made of the fields.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The name: the one given, else fields and directions joined by `_`, as the server and all drivers make it.
    #[must_use]
    pub fn name(&self) -> String {
        let joined = || {
            let part = |(field, kind): &(String, Bson)| match kind {
                Bson::String(kind) => format!("{field}_{kind}"),
                kind => format!("{field}_{kind}"),
            };
            self.keys.iter().map(part).collect::<Vec<_>>().join("_")
        };
        self.name.clone().unwrap_or_else(joined)
    }

    /// The index as the command `createIndexes` takes it.
    #[must_use]
    pub fn to_document(&self) -> Document {
        let keys: Document = self.keys.iter().cloned().collect();
        let mut document = doc! {"key": keys, "name": self.name()};
        if !self.weights.is_empty() {
            document.insert("weights", self.weights.clone());
        }
        document.extend(self.options.clone());
        document
    }

    fn new() -> Self {
        Self { keys: Vec::new(), weights: Document::new(), options: Document::new(), name: None }
    }

    fn and(mut self, field: impl Into<String>, kind: Bson) -> Self {
        self.keys.push((field.into(), kind));
        self
    }

    fn option(mut self, name: &str, value: impl Into<Bson>) -> Self {
        self.options.insert(name, value);
        self
    }
}

/// What [`MongoBackend::ensure_indexes`] found and did; names of indexes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct IndexReport {
    /// Made now.
    pub made: Vec<String>,
    /// There already, and as declared, perhaps under another name.
    pub present: Vec<String>,
    /// There already, but otherwise. They are left as they are.
    pub different: Vec<IndexDifference>,
    /// There, but not declared. They are left as they are.
    pub undeclared: Vec<String>,
}

/// An index that is not as it was declared.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct IndexDifference {
    /// The name on the server.
    pub name: String,
    /// What differs: `unique: declared true, found false`.
    pub differences: Vec<String>,
}

impl fmt::Display for IndexDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} ({})", self.name, self.differences.join("; "))
    }
}

impl IndexReport {
    /// The report, or `Config` if an index is not as declared: drop it yourself, or declare it as it is. (How long
    /// documents are kept can be changed in place, by the command `collMod`.)
    pub fn all_as_declared(self) -> Result<Self> {
        if self.different.is_empty() {
            return Ok(self);
        }
        let list: Vec<String> = self.different.iter().map(ToString::to_string).collect();
        Err(Error::config(format!(
            "indexes are there that were declared otherwise: {}; what exists is never altered: drop them, or declare \
             them as they are",
            list.join(", ")
        )))
    }
}

impl MongoBackend {
    /// Makes those of the declared indexes that are missing, all in one command, and the collection if need be.
    ///
    /// Nothing that exists is altered or dropped; what differs from its declaration is in the report, and
    /// [`IndexReport::all_as_declared`] makes an error of it. Calling again changes nothing, and several programs
    /// may call at once. The call lasts as long as the server builds; others read and write meanwhile.
    ///
    /// # Errors
    /// `AlreadyExists` when documents contradict a unique index: none of the missing indexes is made. `Config` or
    /// `InvalidInput` for an index that the server refuses. The operation's timeout does not hold for building.
    pub async fn ensure_indexes<T: Send + Sync>(
        &self,
        collection: &Collection<T>,
        indexes: &[MongoIndex],
    ) -> Result<IndexReport> {
        let ensured = self.ensure(&collection.clone_with_type(), indexes).await;
        ensured.map_err(|error| at("ensure_indexes")(error).with_collection(collection.name()))
    }

    async fn ensure(&self, collection: &Collection<Document>, indexes: &[MongoIndex]) -> Result<IndexReport> {
        let existing = self.list(collection).await?;
        let mut report = IndexReport::default();
        let mut missing = Vec::new();
        let mut declared = vec!["_id_".to_owned()];
        for index in indexes {
            let wanted = index.to_document();
            let Some((found, differences)) = counterpart(&wanted, &existing) else {
                missing.push(wanted);
                continue;
            };
            let name = name_of(found);
            declared.push(name.clone());
            if differences.is_empty() {
                report.present.push(name);
            } else {
                report.different.push(IndexDifference { name, differences });
            }
        }
        report.undeclared = existing.iter().map(name_of).filter(|name| !declared.contains(name)).collect();
        if missing.is_empty() {
            return Ok(report);
        }
        report.made = missing.iter().map(name_of).collect();
        let command =
            doc! {"createIndexes": collection.name(), "indexes": missing, "writeConcern": majority()};
        let database = self.client()?.database(&collection.namespace().db);
        database.run_command(command).await.map_err(from_driver)?;
        Ok(report)
    }

    async fn list(&self, collection: &Collection<Document>) -> Result<Vec<Document>> {
        let space = self.space();
        let database = space.client()?.database(&collection.namespace().db);
        let listing = database.run_cursor_command(doc! {"listIndexes": collection.name()});
        let cursor = match space.call(listing).await {
            Err(error) if code(&error) == Some(NO_COLLECTION) => return Ok(Vec::new()),
            cursor => cursor?,
        };
        space.call(cursor.try_collect()).await
    }
}

fn majority() -> Bson {
    bson::serialize_to_bson(&WriteConcern::majority()).unwrap_or_else(|_| Bson::from(doc! {"w": "majority"}))
}

fn name_of(index: &Document) -> String {
    index.get_str("name").unwrap_or_default().to_owned()
}

/// The existing index that a declared one stands for, and in what they differ: the one that is the same, else the
/// one of the same name, else the one that the server would not let stand beside it.
fn counterpart<'a>(wanted: &Document, existing: &'a [Document]) -> Option<(&'a Document, Vec<String>)> {
    let mut compared: Vec<_> = existing.iter().map(|found| (found, differences(wanted, found))).collect();
    let best = compared.iter().position(|(_, differences)| differences.is_empty());
    let best = best.or_else(|| existing.iter().position(|found| name_of(found) == name_of(wanted)));
    let best = best.or_else(|| existing.iter().position(|found| meets(wanted, found)));
    best.map(|best| compared.swap_remove(best))
}

/// Whether a server refuses two such indexes side by side, whatever their names: two text indexes, or the same keys
/// with the same condition.
fn meets(wanted: &Document, found: &Document) -> bool {
    let (wanted_keys, found_keys) = (keys(wanted), keys(found));
    let is_text = |keys: &[(String, Bson)]| keys.iter().any(|(_, kind)| kind.as_str() == Some("text"));
    let same = |name| option(wanted, name) == option(found, name);
    let same_keys = wanted_keys == found_keys && same("partialFilterExpression") && same("collation");
    same_keys || is_text(&wanted_keys) && is_text(&found_keys)
}

fn differences(wanted: &Document, found: &Document) -> Vec<String> {
    let mut differences = Vec::new();
    let mut compare = |name: &str, wanted: Bson, found: Bson| {
        if wanted != found {
            differences.push(format!("{name}: declared {wanted}, found {found}"));
        }
    };
    compare("key", shown(keys(wanted)), shown(keys(found)));
    compare("weights", weights(wanted), weights(found));
    for name in OPTIONS {
        compare(name, option(wanted, name), option(found, name));
    }
    differences
}

/// The keys in order; the server lists the fields of a text index as weights only.
fn keys(index: &Document) -> Vec<(String, Bson)> {
    let mut keys = Vec::new();
    for (field, kind) in index.get_document("key").into_iter().flatten() {
        let text = kind.as_str() == Some("text");
        let known = keys.iter().any(|(_, kind): &(String, Bson)| kind.as_str() == Some("text"));
        match field.as_str() {
            "_ftsx" => {}
            _ if text && known => {}
            _ if text => keys.push(("text".to_owned(), kind.clone())),
            _ => keys.push((field.clone(), number(kind))),
        }
    }
    keys
}

fn shown(keys: Vec<(String, Bson)>) -> Bson {
    Bson::Document(keys.into_iter().collect())
}

fn weights(index: &Document) -> Bson {
    let mut weights: Vec<(String, Bson)> = index
        .get_document("weights")
        .into_iter()
        .flatten()
        .map(|(field, weight)| (field.clone(), number(weight)))
        .collect();
    weights.sort_by(|(one, _), (other, _)| one.cmp(other));
    Bson::Document(weights.into_iter().collect())
}

/// An option as the server would list it if it were given: absent is `false` or null.
fn option(index: &Document, name: &str) -> Bson {
    match (index.get(name), name) {
        (None, "unique" | "sparse" | "hidden") => Bson::Boolean(false),
        (None, "default_language") if index.contains_key("weights") => Bson::from("english"),
        (None, _) => Bson::Null,
        (Some(value), _) => number(value),
    }
}

/// A value with all whole numbers as int64, whatever type they came in.
fn number(value: &Bson) -> Bson {
    match value {
        Bson::Int32(value) => Bson::Int64(i64::from(*value)),
        Bson::Double(value) if value.fract() == 0.0 => {
            format!("{value:.0}").parse().map_or(Bson::Double(*value), Bson::Int64)
        }
        Bson::Document(document) => {
            Bson::Document(document.iter().map(|(name, value)| (name.clone(), number(value))).collect())
        }
        Bson::Array(items) => Bson::Array(items.iter().map(number).collect()),
        other => other.clone(),
    }
}
