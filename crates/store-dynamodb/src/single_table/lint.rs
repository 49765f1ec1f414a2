//! What is going to hurt, by the declaration alone.

use store_core::Finding;

use super::model::{Entity, IndexKeys, KeyPart, MAX_PARTITION, Model};
use super::template::{Form, Template};

/// Words in names of fields that have few values.
const FEW: [&str; 22] = [
    "status", "state", "type", "kind", "category", "country", "region", "lang", "language", "gender", "tier",
    "plan", "level", "role", "flag", "enabled", "active", "is", "has", "stage", "priority", "env",
];
/// Words in names of fields that grow as time goes.
const TIME: [&str; 15] = [
    "time",
    "timestamp",
    "ts",
    "date",
    "day",
    "hour",
    "month",
    "year",
    "at",
    "created",
    "updated",
    "when",
    "week",
    "ms",
    "micros",
];
/// Words in names of fields that are numbers.
const NUMBER: [&str; 14] = [
    "number", "num", "no", "count", "seq", "sequence", "version", "revision", "rank", "score", "price",
    "amount", "position", "index",
];

/// Looks through a declaration.
pub(super) fn look(model: &Model) -> Vec<Finding> {
    let mut found = Vec::new();
    for entity in &model.entities {
        let [partition, sort] = model.table_parts(entity);
        found.extend(hot(entity, &partition));
        found.extend(same_moment(entity, &sort));
        for keys in &entity.indexes {
            let own = keys.parts().find(|part| part.limit == MAX_PARTITION);
            found.extend(own.iter().filter_map(|part| hot(entity, part)));
            found.extend(copied(entity, keys));
        }
        for part in model.parts_of(entity) {
            found.extend(too_long(entity, &part));
            found.extend(unordered(entity, &part));
        }
        found.extend(unbounded(model, entity));
    }
    for index in &model.indexes {
        let used = |entity: &Entity| entity.indexes.iter().any(|keys| keys.index == *index);
        if !model.entities.iter().any(used) {
            let message = "no entity is in it, so it is always empty";
            found.push(Finding::warning(
                subject("index", &index.name),
                message,
                "give an entity keys in it, or leave it out",
            ));
        }
        if index.partition.is_none() {
            let message =
                "it is a local index: each partition of the table, with its indexes, holds 10 GB at most";
            let advice = "use a global index where a partition may grow further";
            found.push(Finding::note(subject("index", &index.name), message, advice));
        }
    }
    found
}

fn subject(what: &str, name: &str) -> String {
    format!("{what} {name}")
}

fn key_of(entity: &Entity, part: &KeyPart<'_>) -> String {
    format!("entity {}, key {} ({})", entity.name, part.attribute, part.template.text)
}

/// Whether a word of a field's name is among these.
fn says(name: &str, words: &[&str]) -> bool {
    let mut plain = String::with_capacity(name.len() + 4);
    for char in name.chars() {
        if char.is_uppercase() {
            plain.push('_');
        }
        plain.extend(char.to_lowercase());
    }
    plain.split(|char: char| !char.is_alphanumeric()).any(|word| words.contains(&word))
}

fn is_time(name: &str, form: &Form) -> bool {
    matches!(form, Form::Date | Form::Time) || says(name, &TIME)
}

fn placeholders(template: &Template) -> impl Iterator<Item = (&str, &Form)> {
    template
        .segments
        .iter()
        .filter_map(|segment| segment.field.as_ref().map(|(name, form)| (name.as_str(), form)))
}

/// Partitions that take more than their share.
fn hot(entity: &Entity, part: &KeyPart<'_>) -> Option<Finding> {
    let fields: Vec<(&str, &Form)> = placeholders(part.template).collect();
    let times = fields.iter().filter(|(name, form)| is_time(name, form)).count();
    let few = fields.iter().filter(|(name, form)| !is_time(name, form) && says(name, &FEW)).count();
    let (message, advice) = if fields.is_empty() {
        (
            "all its items are in one partition, which takes some 1,000 writes and 3,000 reads a second",
            "put a field with many values in the key, or a shard ({shard:2}) that the writer draws",
        )
    } else if times == fields.len() {
        (
            "time alone chooses the partition, so all that is written now goes to one",
            "put a field with many values before the time, or a shard ({shard:2}) that the writer draws",
        )
    } else if times + few == fields.len() && times > 0 {
        let message =
            "time and fields of few values choose the partition, so what is written now goes to few of them";
        let advice = "see that one kind has less than 1,000 writes a second, or add a shard ({shard:2})";
        return Some(Finding::note(key_of(entity, part), message, advice));
    } else if few == fields.len() {
        (
            "fields of few values choose the partition, so there are few, and each gets large and hot",
            "put a field with many values in the key, a date, or a shard ({shard:2}) that the writer draws",
        )
    } else {
        return None;
    };
    Some(Finding::warning(key_of(entity, part), message, advice))
}

/// Items that only their time tells apart.
fn same_moment(entity: &Entity, part: &KeyPart<'_>) -> Option<Finding> {
    let mut fields = placeholders(part.template).peekable();
    fields.peek()?;
    if !fields.all(|(name, form)| is_time(name, form)) {
        return None;
    }
    let message =
        "two items of one partition and one moment have the same key: the later replaces the earlier";
    Some(Finding::warning(key_of(entity, part), message, "end the key with an id, such as #{id}"))
}

/// An index with the partitions of the table.
fn copied(entity: &Entity, keys: &IndexKeys) -> Option<Finding> {
    let part = keys.parts().find(|part| part.limit == MAX_PARTITION)?;
    if part.template.segments != entity.partition.segments {
        return None;
    }
    Some(Finding::warning(
        key_of(entity, &part),
        format!(
            "the global index {} has the partitions of the table: every write is paid twice, and what is hot there is \
             hot here",
            keys.index.name
        ),
        "use a local index for another order of the same partition, or another partition",
    ))
}

/// Keys whose parts together are too long.
fn too_long(entity: &Entity, part: &KeyPart<'_>) -> Option<Finding> {
    let longest = part.template.longest().filter(|longest| *longest > part.limit)?;
    Some(Finding::warning(
        key_of(entity, part),
        format!("it may take {longest} bytes, the limit is {}; such an item is refused", part.limit),
        "allow shorter values, or put a hash of the long one in the key",
    ))
}

/// Fields that may be of any length.
fn unbounded(model: &Model, entity: &Entity) -> Option<Finding> {
    let mut names: Vec<&str> = model
        .parts_of(entity)
        .flat_map(|part| placeholders(part.template))
        .filter(|(_, form)| **form == Form::Plain)
        .map(|(name, _)| name)
        .collect();
    names.sort_unstable();
    names.dedup();
    let first = *names.first()?;
    Some(Finding::note(
        subject("entity", &entity.name),
        format!(
            "nothing bounds {} in its keys: where one gets longer than 2,048 bytes, a sort key than 1,024, the item is \
             refused",
            names.join(", ")
        ),
        format!("say how long they get, {{{first}:..64}}"),
    ))
}

/// Values that do not sort as their keys do.
fn unordered(entity: &Entity, part: &KeyPart<'_>) -> Option<Finding> {
    if part.limit == MAX_PARTITION {
        return None;
    }
    let plain = |form: &Form| matches!(form, Form::Plain | Form::UpTo(_));
    let (name, _) = placeholders(part.template)
        .find(|(name, form)| plain(form) && (says(name, &TIME) || says(name, &NUMBER)))?;
    Some(Finding::warning(
        key_of(entity, part),
        format!("{name} looks like a time or a number, but has no fixed width: \"9\" comes behind \"10\""),
        format!(
            "write {{{name}:16}} for a number, {{{name}:date}} or {{{name}:time}} for a day or a time in UTC"
        ),
    ))
}

#[cfg(test)]
#[path = "lint_tests.rs"]
mod tests;
