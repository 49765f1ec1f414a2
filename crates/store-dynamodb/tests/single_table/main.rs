//! Single-table design, on a real server.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a test fails by a panic"
)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../faults/mod.rs"]
mod faults;
mod hostile;
mod queries;
mod random;
mod tables;
mod writes;

use std::process::ExitCode;
use std::time::Duration;

use common::{Db, test};
use serde::{Deserialize, Serialize};
use store_dynamodb::{
    DynamoDbBackend, DynamoDbEntity, DynamoDbIndex, DynamoDbItems, DynamoDbSingleTable, DynamoDbTableDesign,
};

fn main() -> ExitCode {
    common::run([
        test("the_three_access_patterns", queries::the_three_access_patterns),
        test("writes_are_told_apart", writes::writes_are_told_apart),
        test("versions_lock", writes::versions_lock),
        test("one_of_many_writers_wins", writes::one_of_many_writers_wins),
        test("index_keys_follow_patches", writes::index_keys_follow_patches),
        test("what_is_past_its_time_is_gone", writes::what_is_past_its_time_is_gone),
        test("a_collection_has_several_entities", queries::a_collection_has_several_entities),
        test("cursors_are_bound_to_their_query", queries::cursors_are_bound_to_their_query),
        test(
            "strong_reads_of_a_global_index_are_refused",
            queries::strong_reads_of_a_global_index_are_refused,
        ),
        test("transactions_over_entities", writes::transactions_over_entities),
        test("batches_name_what_failed", writes::batches_name_what_failed),
        test("a_lost_answer_makes_nothing_twice", writes::a_lost_answer_makes_nothing_twice),
        test("keys_of_every_length", hostile::keys_of_every_length),
        test("hostile_names_and_values", hostile::hostile_names_and_values),
        test("values_come_back_as_they_were", hostile::values_come_back_as_they_were),
        test("types_are_held_against_the_declaration", tables::types_are_held_against_the_declaration),
        test("the_table_is_made_as_declared", tables::the_table_is_made_as_declared),
        test("a_table_that_does_not_fit_is_refused", tables::a_table_that_does_not_fit_is_refused),
        test("as_a_map_with_every_query", random::as_a_map_with_every_query),
    ])
}

#[expect(clippy::struct_field_names, reason = "as keys name them")]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Event {
    pub(crate) user_id: String,
    pub(crate) at: u64,
    pub(crate) event_id: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) day: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) price: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<String>,
}

#[expect(clippy::struct_field_names, reason = "as keys name them")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct User {
    pub(crate) user_id: String,
    pub(crate) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) email: Option<String>,
    #[serde(default)]
    pub(crate) version: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Session {
    pub(crate) id: String,
    pub(crate) text: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expires: Option<u64>,
}

pub(crate) fn event(user: &str, at: u64, id: &str) -> Event {
    Event {
        user_id: user.into(),
        at,
        event_id: id.into(),
        kind: if at.is_multiple_of(2) { "click" } else { "view" }.into(),
        day: format!("2026-01-{:02}", 1 + at % 28),
        price: at.is_multiple_of(3).then_some(at * 10),
        note: None,
    }
}

pub(crate) fn user(id: &str, name: &str) -> User {
    User { user_id: id.into(), name: name.into(), email: None, version: 0 }
}

pub(crate) fn design(table: &str) -> DynamoDbTableDesign {
    DynamoDbTableDesign::new(table)
        .with_expires("expires")
        .with_index(DynamoDbIndex::global("by_type", "gsi1pk", "gsi1sk"))
        .with_index(DynamoDbIndex::global("by_email", "gsi2pk", ""))
        .with_index(DynamoDbIndex::local("by_price", "lsi1sk"))
        .with_entity(
            DynamoDbEntity::new("user", "USER#{user_id}", "PROFILE")
                .with_index("by_email", "EMAIL#{email}", "")
                .with_version("version"),
        )
        .with_entity(
            DynamoDbEntity::new("event", "USER#{user_id}", "EVENT#{at:16}#{event_id}")
                .with_index("by_type", "TYPE#{type}#{day:date}", "{at:16}#{event_id}")
                .with_index("by_price", "", "PRICE#{price:10}"),
        )
        .with_entity(
            DynamoDbEntity::new("session", "SESSION#{id}", "SESSION").with_ttl(Duration::from_hours(1)),
        )
}

pub(crate) struct Shop {
    pub(crate) db: Db,
    pub(crate) name: String,
    pub(crate) table: DynamoDbSingleTable,
    pub(crate) users: DynamoDbItems<User>,
    pub(crate) events: DynamoDbItems<Event>,
}

impl Shop {
    /// The table beside those of the store; reads are eventual as in most programs, unless a test says otherwise.
    pub(crate) async fn open(db: Db) -> Self {
        let store = db.with(|config| config.with_consistent_reads(false)).await;
        Self::on(db, &store)
    }

    pub(crate) fn on(db: Db, store: &DynamoDbBackend) -> Self {
        let name = db.beside("single");
        let table = DynamoDbSingleTable::new(store, &design(&name)).unwrap();
        let (users, events) = (table.entity("user").unwrap(), table.entity("event").unwrap());
        Self { db, name, table, users, events }
    }

    pub(crate) async fn close(self) {
        self.db.client().delete_table().table_name(self.name).send().await.unwrap();
    }
}

pub(crate) fn ids(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.event_id.as_str()).collect()
}
