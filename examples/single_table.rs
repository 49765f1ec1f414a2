//! Events in a single table of DynamoDB, and the three questions it is designed for: the newest events of a user, the
//! events of a type and a day, and many events written at once.
//!
//! ```sh
//! cargo run -p nodestore-examples --bin single_table -- 'dynamodb://eu-central-1/shop?store.create=true'
//! ```
//!
//! With DynamoDB Local: `dynamodb://any:any@eu-central-1/shop?endpoint_url=http://localhost:8000&store.create=true`.

use futures::TryStreamExt as _;
use nodestore::dynamodb::{
    DynamoDbBackend, DynamoDbConfig, DynamoDbEntity, DynamoDbIndex, DynamoDbItems, DynamoDbSingleTable,
    DynamoDbTableDesign,
};
use nodestore::prelude::*;
use nodestore::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::json;

#[derive(Debug, Serialize, Deserialize)]
struct User {
    user_id: String,
    name: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Event {
    user_id: String,
    at: String,
    number: u32,
    kind: String,
    day: String,
}

#[tokio::main]
async fn main() -> Result<()> {
    let url =
        std::env::args().nth(1).ok_or_else(|| Error::config("name a table: dynamodb://region/table"))?;
    let config: DynamoDbConfig = url.parse()?;
    let name = config.table.clone().unwrap_or_else(|| "shop".to_owned());
    let store = DynamoDbBackend::connect(config).await?;

    // Keys are made from the fields of an item; numbers in keys have a width, so that they sort as numbers do.
    let design = DynamoDbTableDesign::new(name)
        .with_index(DynamoDbIndex::global("by_type", "gsi1pk", "gsi1sk"))
        .with_entity(DynamoDbEntity::new("user", "USER#{user_id:..64}", "PROFILE"))
        .with_entity(
            DynamoDbEntity::new("event", "USER#{user_id:..64}", "EVENT#{at:time}#{number:8}").with_index(
                "by_type",
                "TYPE#{kind:..32}#{day:date}",
                "{at:time}#{number:8}",
            ),
        );
    // What is going to hurt: here the index, once a type is written a thousand times a second.
    for finding in design.lint()? {
        println!("{}: {}; {}", finding.subject, finding.message, finding.advice);
    }
    let table = DynamoDbSingleTable::new(&store, &design)?;
    let (users, events) = (table.entity::<User>("user")?, table.entity::<Event>("event")?);

    write(&table, &users, &events).await?;
    newest_of_a_user(&events).await?;
    of_a_type_and_a_day(&events).await?;
    store.close().await
}

/// Many events at once: in batches, sent again where the service is busy.
async fn write(
    table: &DynamoDbSingleTable,
    users: &DynamoDbItems<User>,
    events: &DynamoDbItems<Event>,
) -> Result<()> {
    let event = |number: u32| {
        let day = format!("2026-01-{:02}", 1 + number / 20);
        Event {
            user_id: if number.is_multiple_of(2) { "anna" } else { "ben" }.to_owned(),
            at: format!("{day}T{:02}:30:00Z", number % 20),
            number,
            kind: if number.is_multiple_of(5) { "purchase" } else { "click" }.to_owned(),
            day,
        }
    };
    events.put_many((0..60).map(event)).await?;
    // A batch may have items of any entity.
    let anna = User { user_id: "anna".to_owned(), name: "Anna".to_owned() };
    table.batch().put(users, &anna)?.put(events, &event(60))?.send().await?;
    println!("61 events and a user are written");
    Ok(())
}

/// Events of a user, newest first, page by page.
async fn newest_of_a_user(events: &DynamoDbItems<Event>) -> Result<()> {
    let newest = events.query(&json!({"user_id": "anna"}))?.descending().limit(3);
    let first = newest.page(None).await?;
    let second = newest.page(first.next.as_ref()).await?;
    for (page, found) in [("first", first), ("second", second)] {
        println!("the {page} page of anna's events, newest first:");
        for event in found.items {
            println!("  {} {} {}", event.at, event.kind, event.number);
        }
    }
    Ok(())
}

/// Events of a type and a day, from a time on, by the index. It is a moment behind what was written.
async fn of_a_type_and_a_day(events: &DynamoDbItems<Event>) -> Result<()> {
    let purchases = events.query_index("by_type", &json!({"kind": "purchase", "day": "2026-01-02"}))?;
    let mut found = purchases.at_least(&json!({"at": "2026-01-02T05:00:00Z"}))?.stream();
    println!("purchases of 2 January, from five o'clock on:");
    while let Some(event) = found.try_next().await? {
        println!("  {} {} {}", event.at, event.user_id, event.number);
    }
    Ok(())
}
