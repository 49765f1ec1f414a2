//! The declaration of a table: its keys, its indexes, its entities.

use std::time::Duration;

use aws_sdk_dynamodb::types::StreamViewType;
use store_core::{Error, Finding, Result};

use super::lint;
use super::model::Model;

/// The attribute that names an item's entity.
pub(super) const ENTITY: &str = "_nodestore_entity";

/// The declaration of a table that holds the items of several entities, each under keys that are made from its fields.
///
/// It says what the table is like; nothing is sent by it. It is checked when it is used: by [`lint`](Self::lint) and by
/// [`DynamoDbSingleTable::new`](crate::DynamoDbSingleTable::new).
///
/// ```
/// use store_dynamodb::{DynamoDbEntity, DynamoDbIndex, DynamoDbTableDesign};
///
/// let design = DynamoDbTableDesign::new("shop")
///     .with_index(DynamoDbIndex::global("by_type", "gsi1pk", "gsi1sk"))
///     .with_entity(DynamoDbEntity::new("user", "USER#{user_id:..64}", "PROFILE").with_version("version"))
///     .with_entity(
///         DynamoDbEntity::new("event", "USER#{user_id:..64}", "EVENT#{at:time}#{event_id:..64}")
///             .with_index("by_type", "TYPE#{kind:..32}#{day:date}", "{at:time}#{event_id:..64}"),
///     );
/// for finding in design.lint()? {
///     println!("{}: {}; {}", finding.subject, finding.message, finding.advice);
/// }
/// # Ok::<(), store_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct DynamoDbTableDesign {
    pub(super) table: String,
    pub(super) partition: String,
    pub(super) sort: String,
    pub(super) separator: char,
    pub(super) entity_attribute: String,
    pub(super) expires: Option<String>,
    pub(super) stream: Option<StreamViewType>,
    pub(super) indexes: Vec<DynamoDbIndex>,
    pub(super) entities: Vec<DynamoDbEntity>,
}

impl DynamoDbTableDesign {
    /// A table of this name, in full: a namespace of the store does not change it. Its keys are the attributes `pk` and
    /// `sk`, both of type S.
    #[must_use]
    pub fn new(table: impl Into<String>) -> Self {
        Self {
            table: table.into(),
            partition: crate::schema::PARTITION_KEY.to_owned(),
            sort: crate::schema::SORT_KEY.to_owned(),
            separator: '#',
            entity_attribute: ENTITY.to_owned(),
            expires: None,
            stream: None,
            indexes: Vec::new(),
            entities: Vec::new(),
        }
    }

    /// Names the key attributes; default `pk` and `sk`.
    #[must_use]
    pub fn with_keys(mut self, partition: impl Into<String>, sort: impl Into<String>) -> Self {
        self.partition = partition.into();
        self.sort = sort.into();
        self
    }

    /// Sets what separates the parts of a key, an ASCII punctuation mark other than `{`, `}` and `%`; default `#`. In the
    /// parts it is written `%XX`, and so is `%`.
    #[must_use]
    pub fn with_separator(mut self, separator: char) -> Self {
        self.separator = separator;
        self
    }

    /// Names the attribute that says of which entity an item is; default `_nodestore_entity`. An item without it is of
    /// the entity whose key templates its keys fit.
    #[must_use]
    pub fn with_entity_attribute(mut self, name: impl Into<String>) -> Self {
        self.entity_attribute = name.into();
        self
    }

    /// Names the attribute with the second since 1970 at which an item expires, the table's time to live. What is past
    /// its time is hidden from every read at once, and removed by the service within days. Default: none expires.
    #[must_use]
    pub fn with_expires(mut self, attribute: impl Into<String>) -> Self {
        self.expires = Some(attribute.into());
        self
    }

    /// Gives the table a stream of its changes, of this view, when it is made.
    #[must_use]
    pub fn with_stream(mut self, view: StreamViewType) -> Self {
        self.stream = Some(view);
        self
    }

    /// Adds an index.
    #[must_use]
    pub fn with_index(mut self, index: DynamoDbIndex) -> Self {
        self.indexes.push(index);
        self
    }

    /// Adds an entity.
    #[must_use]
    pub fn with_entity(mut self, entity: DynamoDbEntity) -> Self {
        self.entities.push(entity);
        self
    }

    /// What is going to hurt: hot partitions, keys that may get too long, keys that do not sort as their values do,
    /// indexes that are of no use. It looks at the declaration alone, by templates and by names of fields: it may warn
    /// of what is well, and can not know how much is written.
    ///
    /// # Errors
    /// `Config` for a declaration that can not be.
    pub fn lint(&self) -> Result<Vec<Finding>> {
        Ok(lint::look(&Model::new(self)?))
    }
}

/// An index of a table. It has every attribute of the items that are in it: those that have its keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DynamoDbIndex {
    pub(super) name: String,
    /// `None`: a local one, with the table's partition key.
    pub(super) partition: Option<String>,
    pub(super) sort: Option<String>,
}

impl DynamoDbIndex {
    /// A global index, by these attributes; no sort key with an empty text. It lags a moment behind writes, so that
    /// strong reads of it are refused.
    #[must_use]
    pub fn global(name: impl Into<String>, partition: impl Into<String>, sort: impl Into<String>) -> Self {
        let sort = Some(sort.into()).filter(|sort| !sort.is_empty());
        Self { name: name.into(), partition: Some(partition.into()), sort }
    }

    /// A local index: the table's partitions, by another sort key. A table can get one only when it is made, and each of
    /// its partitions then holds 10 GB at most.
    #[must_use]
    pub fn local(name: impl Into<String>, sort: impl Into<String>) -> Self {
        Self { name: name.into(), partition: None, sort: Some(sort.into()) }
    }
}

/// A kind of item, and how its keys are made from its fields.
///
/// A template is text with placeholders, cut into parts by the separator: `EVENT#{at:time}#{event_id}`. A placeholder
/// ends at the next separator, so that every key can be read back.
///
/// | | the field is | in the key |
/// |---|---|---|
/// | `{name}` | text, `true` or `false`, in a partition key also a whole number | as it is, the separator and `%` as `%XX` |
/// | `{name:..64}` | the same | the same, at most 64 bytes |
/// | `{name:16}` | a whole number from 0 on | in 16 digits, so that keys sort as numbers do |
/// | `{name:date}` | `"2026-01-31"` | as it is |
/// | `{name:time}` | a time in UTC, `"2026-01-31T09:30:00.5Z"` | with nine digits behind the second |
///
/// Texts are compared by their bytes. An empty value is refused. A key takes at most 2,048 bytes as a partition key,
/// 1,024 as a sort key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DynamoDbEntity {
    pub(super) name: String,
    pub(super) partition: String,
    pub(super) sort: String,
    /// Name of the index, partition, sort.
    pub(super) indexes: Vec<(String, String, String)>,
    pub(super) version: Option<String>,
    pub(super) ttl: Option<Duration>,
}

impl DynamoDbEntity {
    /// An entity of this name, with the templates of the table's keys.
    #[must_use]
    pub fn new(name: impl Into<String>, partition: impl Into<String>, sort: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            partition: partition.into(),
            sort: sort.into(),
            indexes: Vec::new(),
            version: None,
            ttl: None,
        }
    }

    /// Puts its items in an index, under keys of these templates. `partition` is empty for a local index, `sort` for an
    /// index without a sort key. An item that lacks a field of them is not in the index.
    #[must_use]
    pub fn with_index(
        mut self,
        index: impl Into<String>,
        partition: impl Into<String>,
        sort: impl Into<String>,
    ) -> Self {
        self.indexes.push((index.into(), partition.into(), sort.into()));
        self
    }

    /// Locks its items optimistically by this field, a whole number: 0 or none is an item that is new, each write adds
    /// one, and who writes what another has changed since is refused.
    #[must_use]
    pub fn with_version(mut self, field: impl Into<String>) -> Self {
        self.version = Some(field.into());
        self
    }

    /// How long its items are kept after they were last put (not patched), unless they say when they expire themselves. It needs
    /// [`DynamoDbTableDesign::with_expires`].
    #[must_use]
    pub fn with_ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }
}

/// An error of the declaration.
pub(super) fn refused(message: impl Into<String>) -> Error {
    Error::config(message)
}
