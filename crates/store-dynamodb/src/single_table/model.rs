//! A declaration that was checked.

use std::collections::HashSet;
use std::time::Duration;

use aws_sdk_dynamodb::types::{AttributeValue, StreamViewType};
use store_core::kit::check;
use store_core::{Error, ErrorKind, JsonObject, Result};

use super::design::{DynamoDbEntity, DynamoDbIndex, DynamoDbTableDesign, refused};
use super::template::Template;
use crate::codec::Item;
use crate::schema::{BESIDE, not_ours};
use crate::tables::Keys;

/// The longest partition key and the longest sort key in bytes, the service's limits.
pub(super) const MAX_PARTITION: usize = 2_048;
pub(super) const MAX_SORT: usize = 1_024;
/// The longest name of a key attribute in bytes, and of a table or an index.
const MAX_NAME: usize = 255;
/// Indexes of a table, the service's limits.
const MAX_GLOBAL: usize = 20;
const MAX_LOCAL: usize = 5;

/// A table.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) table: String,
    pub(super) keys: Keys,
    pub(super) mark: String,
    pub(super) expires: Option<String>,
    pub(super) stream: Option<StreamViewType>,
    pub(super) indexes: Vec<DynamoDbIndex>,
    pub(super) entities: Vec<Entity>,
}

/// An entity.
#[derive(Debug)]
pub(super) struct Entity {
    pub(super) name: String,
    pub(super) partition: Template,
    pub(super) sort: Template,
    pub(super) indexes: Vec<IndexKeys>,
    pub(super) version: Option<String>,
    pub(super) ttl: Option<Duration>,
}

/// The keys of an entity in an index.
#[derive(Debug)]
pub(super) struct IndexKeys {
    pub(super) index: DynamoDbIndex,
    /// `None` in a local index.
    pub(super) partition: Option<Template>,
    pub(super) sort: Option<Template>,
}

/// One attribute that is a key, and how it is made.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyPart<'a> {
    pub(super) attribute: &'a str,
    pub(super) template: &'a Template,
    pub(super) limit: usize,
}

impl KeyPart<'_> {
    /// Names the key in an error of its template.
    fn told(&self, error: &Error) -> Error {
        Error::new(error.kind(), format!("the key attribute {:?}: {}", self.attribute, error.message()))
    }

    /// The key; `None` if a field is absent.
    pub(super) fn render(&self, fields: &JsonObject) -> Result<Option<String>> {
        let Some(key) = self.template.render(fields).map_err(|error| self.told(&error))? else {
            return Ok(None);
        };
        self.fits(&key)?;
        Ok(Some(key))
    }

    /// The key, which must be whole.
    pub(super) fn required(&self, fields: &JsonObject) -> Result<String> {
        self.render(fields)?.ok_or_else(|| {
            let message = format!(
                "the key attribute {:?} is made by {:?}, and the field {:?} is missing",
                self.attribute,
                self.template.text,
                self.template.missing(fields).unwrap_or_default()
            );
            Error::invalid_input(message)
        })
    }

    /// What keys begin with, and whether that is a whole key. What the template does not know is refused.
    pub(super) fn prefix(&self, fields: &JsonObject, open: bool) -> Result<(String, bool)> {
        self.knows(fields)?;
        let (key, whole) = self.template.prefix(fields, open).map_err(|error| self.told(&error))?;
        self.fits(&key)?;
        Ok((key, whole))
    }

    /// Refuses fields that are no placeholders: a condition on them would be passed over.
    pub(super) fn knows(&self, fields: &JsonObject) -> Result<()> {
        match fields.keys().find(|name| !self.template.has(name)) {
            None => Ok(()),
            Some(name) => Err(Error::invalid_input(format!(
                "{name:?} is no placeholder of the key attribute {:?}, which is made by {:?}",
                self.attribute, self.template.text
            ))),
        }
    }

    fn fits(&self, key: &str) -> Result<()> {
        if key.len() <= self.limit {
            return Ok(());
        }
        let message = format!(
            "the key attribute {:?}, made by {:?}, takes {} bytes, the limit is {}",
            self.attribute,
            self.template.text,
            key.len(),
            self.limit
        );
        Err(Error::new(ErrorKind::LimitExceeded, message))
    }
}

impl Model {
    /// Checks a declaration.
    pub(super) fn new(design: &DynamoDbTableDesign) -> Result<Self> {
        named("table", &design.table)?;
        let mark = design.separator;
        if !mark.is_ascii_punctuation() || "{}%".contains(mark) {
            return Err(refused(format!(
                "the separator {mark:?} can not be; it is an ASCII punctuation mark other than {{, }} and %"
            )));
        }
        let mut model = Self {
            table: design.table.clone(),
            keys: Keys { partition: design.partition.clone(), sort: design.sort.clone() },
            mark: design.entity_attribute.clone(),
            expires: design.expires.clone(),
            stream: design.stream.clone(),
            indexes: design.indexes.clone(),
            entities: Vec::with_capacity(design.entities.len()),
        };
        model.check_attributes()?;
        model.check_indexes()?;
        if design.entities.is_empty() {
            return Err(refused("the table has no entity; add one by with_entity"));
        }
        for entity in &design.entities {
            let entity = model.entity_of_design(entity, mark).map_err(|error| {
                Error::config(format!("the entity {:?}: {}", entity.name, error.message()))
            })?;
            model.entities.push(entity);
        }
        model.check_apart()?;
        Ok(model)
    }

    /// Every attribute of the table's own has a name that can be, and one of its own.
    fn check_attributes(&self) -> Result<()> {
        let mut names = vec![self.keys.partition.as_str(), &self.keys.sort, &self.mark];
        names.extend(self.expires.as_deref());
        for index in &self.indexes {
            names.extend(index.partition.as_deref());
            names.extend(index.sort.as_deref());
        }
        for name in &names {
            if name.is_empty() || name.len() > MAX_NAME {
                return Err(refused(format!(
                    "an attribute {name:?} of {} bytes can not be; a name has 1 to {MAX_NAME}",
                    name.len()
                )));
            }
        }
        // The mark of entities and the time to live may have a name of ours, keys may not.
        let may = |name: &str| name == self.mark || self.expires.as_deref() == Some(name);
        if let Some(name) = names.iter().find(|name| name.starts_with(BESIDE) && !may(name)) {
            return Err(refused(format!(
                "the attribute {name:?} begins with {BESIDE:?}, as the store's own attributes do; choose another name"
            )));
        }
        let mut seen = HashSet::new();
        match names.iter().find(|name| !seen.insert(**name)) {
            None => Ok(()),
            Some(name) => Err(refused(format!(
                "the attribute {name:?} has two meanings; keys, the keys of each index, the entity's attribute and the \
                 time to live are attributes of their own"
            ))),
        }
    }

    fn check_indexes(&self) -> Result<()> {
        let mut seen = HashSet::new();
        for index in &self.indexes {
            named("index", &index.name)?;
            if !seen.insert(&index.name) {
                return Err(refused(format!("the index {:?} is declared twice", index.name)));
            }
        }
        let local = self.indexes.iter().filter(|index| index.partition.is_none()).count();
        let global = self.indexes.len() - local;
        if global > MAX_GLOBAL || local > MAX_LOCAL {
            return Err(refused(format!(
                "there are {global} global and {local} local indexes; the service takes {MAX_GLOBAL} and {MAX_LOCAL}"
            )));
        }
        Ok(())
    }

    fn entity_of_design(&self, entity: &DynamoDbEntity, separator: char) -> Result<Entity> {
        check::non_empty("entity's name", &entity.name)?;
        if self.entities.iter().any(|other| other.name == entity.name) {
            return Err(refused("it is declared twice"));
        }
        if entity.ttl.is_some() && self.expires.is_none() {
            return Err(refused(
                "it has a time to live, but the table has no attribute for it; name one by with_expires",
            ));
        }
        if entity.ttl.is_some_and(|ttl| ttl.is_zero()) {
            return Err(refused("its time to live is zero; leave it out to keep items for ever"));
        }
        let built = Entity {
            name: entity.name.clone(),
            partition: Template::parse(&entity.partition, separator, false)?,
            sort: Template::parse(&entity.sort, separator, true)?,
            indexes: self.index_keys(entity, separator)?,
            version: entity.version.clone(),
            ttl: entity.ttl,
        };
        let own = |name: &str| self.is_own(name) || self.expires.as_deref() == Some(name);
        for part in self.parts_of(&built) {
            if let Some(name) = part.template.fields().find(|name| own(name)) {
                return Err(refused(format!(
                    "the template {:?} has the placeholder {{{name}}}, which is an attribute of the table's own",
                    part.template.text
                )));
            }
            let texts: usize = part.template.segments.iter().map(|segment| segment.text.len() + 1).sum();
            if texts > part.limit {
                return Err(refused(format!(
                    "the template of {:?} takes {texts} bytes without any value, the limit is {}",
                    part.attribute, part.limit
                )));
            }
        }
        if let Some(version) = &built.version {
            let in_key = self.parts_of(&built).any(|part| part.template.has(version));
            if version.is_empty() || own(version) || version.starts_with(BESIDE) || in_key {
                return Err(refused(format!(
                    "its version can not be the field {version:?}: it must be one of its own, in no key"
                )));
            }
        }
        Ok(built)
    }

    fn index_keys(&self, entity: &DynamoDbEntity, separator: char) -> Result<Vec<IndexKeys>> {
        let mut built: Vec<IndexKeys> = Vec::with_capacity(entity.indexes.len());
        for (name, partition, sort) in &entity.indexes {
            let known: Vec<&str> = self.indexes.iter().map(|index| index.name.as_str()).collect();
            let index = self
                .indexes
                .iter()
                .find(|index| index.name == *name)
                .ok_or_else(|| refused(format!("there is no index {name:?}; the table has {known:?}")))?;
            if built.iter().any(|other| other.index.name == *name) {
                return Err(refused(format!("the index {name:?} is given twice")));
            }
            let wanted = |what: &str, has: bool, template: &str, ordered: bool| match (has, template) {
                (false, "") => Ok(None),
                (false, _) => {
                    Err(refused(format!("the index {name:?} has no {what} key of its own; leave it empty")))
                }
                (true, "") => Err(refused(format!("the index {name:?} needs a template of its {what} key"))),
                (true, template) => Template::parse(template, separator, ordered).map(Some),
            };
            built.push(IndexKeys {
                index: index.clone(),
                partition: wanted("partition", index.partition.is_some(), partition, false)?,
                sort: wanted("sort", index.sort.is_some(), sort, true)?,
            });
        }
        Ok(built)
    }

    /// No key is that of two entities.
    fn check_apart(&self) -> Result<()> {
        for (place, one) in self.entities.iter().enumerate() {
            let clash = self
                .entities
                .iter()
                .skip(place + 1)
                .find(|other| one.partition.overlaps(&other.partition) && one.sort.overlaps(&other.sort));
            if let Some(other) = clash {
                return Err(refused(format!(
                    "the entities {:?} ({}, {}) and {:?} ({}, {}) can have the same key, and one would replace the \
                     other; begin their sort keys with different words",
                    one.name,
                    one.partition.text,
                    one.sort.text,
                    other.name,
                    other.partition.text,
                    other.sort.text
                )));
            }
        }
        Ok(())
    }

    /// Whether an attribute is a key, or says of which entity an item is.
    pub(super) fn is_own(&self, name: &str) -> bool {
        name == self.mark
            || name == self.keys.partition
            || name == self.keys.sort
            || self
                .indexes
                .iter()
                .any(|index| index.partition.as_deref() == Some(name) || index.sort.as_deref() == Some(name))
    }

    /// The keys of the table.
    pub(super) fn table_parts<'a>(&'a self, entity: &'a Entity) -> [KeyPart<'a>; 2] {
        [
            KeyPart { attribute: &self.keys.partition, template: &entity.partition, limit: MAX_PARTITION },
            KeyPart { attribute: &self.keys.sort, template: &entity.sort, limit: MAX_SORT },
        ]
    }

    /// Every key of an entity, the table's first.
    pub(super) fn parts_of<'a>(&'a self, entity: &'a Entity) -> impl Iterator<Item = KeyPart<'a>> {
        self.table_parts(entity).into_iter().chain(entity.indexes.iter().flat_map(IndexKeys::parts))
    }

    /// The key of an item of these fields, in the table.
    pub(super) fn key(&self, entity: &Entity, fields: &JsonObject) -> Result<Item> {
        let [partition, sort] = self.table_parts(entity);
        let (of_partition, of_sort) = (partition.required(fields)?, sort.required(fields)?);
        not_ours("partition", &of_partition)?;
        Ok(Item::from([
            (partition.attribute.to_owned(), AttributeValue::S(of_partition)),
            (sort.attribute.to_owned(), AttributeValue::S(of_sort)),
        ]))
    }

    /// The entity of an item: the one that it names, or the one whose keys it has.
    pub(super) fn entity_of(&self, item: &Item) -> Option<&Entity> {
        let text = |name: &str| item.get(name).and_then(|value| value.as_s().ok());
        if let Some(mark) = item.get(&self.mark) {
            let mark = mark.as_s().ok()?;
            return self.entities.iter().find(|entity| entity.name == *mark);
        }
        let (partition, sort) = (text(&self.keys.partition)?, text(&self.keys.sort)?);
        let fits = |entity: &&Entity| entity.partition.matches(partition) && entity.sort.matches(sort);
        self.entities.iter().find(fits)
    }

    /// A key as it is named in errors.
    pub(super) fn name_of(&self, item: &Item) -> String {
        let text = |name: &str| item.get(name).and_then(|value| value.as_s().ok()).map_or("", |text| text);
        format!("{} / {}", text(&self.keys.partition), text(&self.keys.sort))
    }
}

impl IndexKeys {
    pub(super) fn parts(&self) -> impl Iterator<Item = KeyPart<'_>> {
        let part = |attribute, template, limit| Some(KeyPart { attribute, template, limit });
        let partition = self.index.partition.as_deref().zip(self.partition.as_ref());
        let sort = self.index.sort.as_deref().zip(self.sort.as_ref());
        let partition = partition.and_then(|(name, template)| part(name, template, MAX_PARTITION));
        partition.into_iter().chain(sort.and_then(|(name, template)| part(name, template, MAX_SORT)))
    }
}

/// Refuses a name that the service does not take for a table or an index.
fn named(what: &str, name: &str) -> Result<()> {
    let legal = |char: char| char.is_ascii_alphanumeric() || "_-.".contains(char);
    if (3..=MAX_NAME).contains(&name.len()) && name.chars().all(legal) {
        return Ok(());
    }
    Err(refused(format!(
        "the {what} {name:?} can not be; a name has 3 to {MAX_NAME} of a-z, A-Z, 0-9, _, - and ."
    )))
}

#[cfg(test)]
#[path = "model_tests.rs"]
mod tests;
