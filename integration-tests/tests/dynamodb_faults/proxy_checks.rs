//! Whether the proxy does what it says, seen by the bare driver: what it counts, what it cuts, what it leaves out.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use libtest_mimic::Failed;
use store_dynamodb::aws_sdk_dynamodb::Client;
use store_dynamodb::aws_sdk_dynamodb::config::retry::RetryConfig;
use store_dynamodb::aws_sdk_dynamodb::error::ProvideErrorMetadata;
use store_dynamodb::aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use store_dynamodb::aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, KeysAndAttributes, Put,
    PutRequest, ScalarAttributeType, TransactWriteItem, WriteRequest,
};

use crate::common::{Done, Test, block_on};
use crate::proxy::{Code, Fault, Proxy, random};
use crate::{namespace, open, server};

pub(crate) const TRIALS: &[(&str, Test)] = &[
    ("proxy_changes_nothing_by_itself", changes_nothing),
    ("proxy_drops_before_and_after", drops),
    ("proxy_refuses_as_the_service_does", refuses),
    ("proxy_leaves_out_what_it_hands_back", leaves_out),
    ("proxy_delays", delays),
    ("proxy_makes_the_faults_of_a_seed", seeds),
];

/// A driver that sends nothing twice, a table, and the proxy between them; besides a driver without the proxy.
struct Bare {
    proxy: Proxy,
    client: Client,
    direct: Client,
    table: String,
}

impl Bare {
    async fn start() -> Result<Self, Failed> {
        let proxy = Proxy::start(server()?).await?;
        let table = namespace();
        let client = client_of(proxy.url(), &table).await?;
        let direct = client_of(server()?, &table).await?;
        make_table(&direct, &table, "id", &ScalarAttributeType::S, None).await?;
        Ok(Self { proxy, client, direct, table })
    }

    async fn put(&self, id: &str) -> Result<(), String> {
        let put = self.client.put_item().table_name(&self.table).item("id", text(id)).send().await;
        put.map(|_| ()).map_err(|error| error.code().unwrap_or("no answer").to_owned())
    }

    /// What is there, seen past the proxy.
    async fn there(&self) -> Result<Vec<String>, Failed> {
        let found = self.direct.scan().table_name(&self.table).consistent_read(true).send().await?;
        let mut ids: Vec<String> =
            found.items().iter().filter_map(|item| item.get("id")?.as_s().ok().cloned()).collect();
        ids.sort();
        Ok(ids)
    }

    async fn expect_there(&self, ids: &[&str]) -> Done {
        let there = self.there().await?;
        if there == ids { Ok(()) } else { Err(format!("{there:?} are there, not {ids:?}").into()) }
    }
}

/// The driver of a store, without its retries.
async fn client_of(url: &str, namespace: &str) -> Result<Client, Failed> {
    let store = open(url, namespace, Duration::from_secs(30)).await?;
    let config = store.client()?.config().to_builder().retry_config(RetryConfig::disabled()).build();
    Ok(Client::from_conf(config))
}

/// A table with a partition key, and if named with a sort key of text.
pub(crate) async fn make_table(
    client: &Client,
    table: &str,
    partition: &str,
    kind: &ScalarAttributeType,
    sort: Option<&str>,
) -> Done {
    let mut create = client.create_table().table_name(table).billing_mode(BillingMode::PayPerRequest);
    let keys = [(partition, kind.clone(), KeyType::Hash)].into_iter();
    for (name, kind, key) in keys.chain(sort.map(|sort| (sort, ScalarAttributeType::S, KeyType::Range))) {
        let definition = AttributeDefinition::builder().attribute_name(name).attribute_type(kind).build()?;
        let element = KeySchemaElement::builder().attribute_name(name).key_type(key).build()?;
        create = create.attribute_definitions(definition).key_schema(element);
    }
    create.send().await?;
    Ok(())
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn expect<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, wanted: &T) -> Done {
    if found == wanted { Ok(()) } else { Err(format!("{what}: {found:?}, not {wanted:?}").into()) }
}

fn changes_nothing() -> Done {
    block_on(async {
        let bare = Bare::start().await?;
        // Of every length around that of a buffer, with what HTTP and JSON could trip over.
        for length in [1, 8_000, 8_192, 8_193, 300_000] {
            let value = text(&"é\r\n\r\n\"".repeat(length / 6 + 1));
            let item = HashMap::from([("id".to_owned(), text("a")), ("value".to_owned(), value)]);
            bare.client.put_item().table_name(&bare.table).set_item(Some(item.clone())).send().await?;
            for client in [&bare.client, &bare.direct] {
                let found = client.get_item().table_name(&bare.table).key("id", text("a")).send().await?;
                expect("the item", &found.item, &Some(item.clone()))?;
            }
        }
        expect("puts counted", &bare.proxy.requests("PutItem"), &5)?;
        // Those of the other driver do not come this way.
        expect("gets counted", &bare.proxy.requests("GetItem"), &5)?;
        expect("faults counted", &bare.proxy.faults(), &0)?;
        // An error of the server's own is told as it is.
        let refused = bare.client.get_item().table_name("none").key("id", text("a")).send().await;
        let code = refused.as_ref().err().and_then(ProvideErrorMetadata::code);
        expect("the server's error", &code, &Some("ResourceNotFoundException"))
    })
}

fn drops() -> Done {
    block_on(async {
        let bare = Bare::start().await?;
        for (fault, id, there) in [
            (Fault::DropBefore, "before", &[][..]),
            (Fault::DropAfter, "after", &["after"][..]),
            (Fault::ErrorAfter, "error", &["after", "error"][..]),
        ] {
            bare.proxy.set(move |_| Some(fault));
            let code = if fault == Fault::ErrorAfter { "InternalServerError" } else { "no answer" };
            expect("the write", &bare.put(id).await, &Err(code.to_owned()))?;
            expect("faults counted", &bare.proxy.faults(), &1)?;
            bare.expect_there(there).await?;
        }
        bare.proxy.heal();
        expect("the write", &bare.put("healed").await, &Ok(()))?;
        bare.expect_there(&["after", "error", "healed"]).await
    })
}

fn refuses() -> Done {
    block_on(async {
        let bare = Bare::start().await?;
        for (code, name) in [
            (Code::Provisioned, "ProvisionedThroughputExceededException"),
            (Code::Throttling, "ThrottlingException"),
            (Code::Conflict, "TransactionConflictException"),
            (Code::Internal, "InternalServerError"),
            (Code::ServiceUnavailable, "ServiceUnavailable"),
            (Code::ExpiredToken, "ExpiredTokenException"),
            (Code::UnrecognizedClient, "UnrecognizedClientException"),
        ] {
            bare.proxy.set(move |_| Some(Fault::Refuse(code)));
            expect("the write", &bare.put("a").await, &Err(name.to_owned()))?;
        }
        bare.proxy.set(|_| Some(Fault::Refuse(Code::Conflict)));
        let items = ["a", "b"].map(|id| {
            let put = Put::builder().table_name(&bare.table).item("id", text(id)).build();
            put.map(|put| TransactWriteItem::builder().put(put).build())
        });
        let items = items.into_iter().collect::<Result<Vec<_>, _>>()?;
        let sent = bare.client.transact_write_items().set_transact_items(Some(items)).send().await;
        let Err(error) = sent else { return Err("a transaction in conflict is made".into()) };
        let TransactWriteItemsError::TransactionCanceledException(error) = error.into_service_error() else {
            return Err("a transaction in conflict is not cancelled".into());
        };
        let reasons = error.cancellation_reasons();
        let codes: Vec<_> = reasons.iter().filter_map(|reason| reason.code()).collect();
        expect("its reasons", &codes, &vec!["TransactionConflict", "None"])?;
        bare.expect_there(&[]).await
    })
}

fn leaves_out() -> Done {
    block_on(async {
        let bare = Bare::start().await?;
        let ids: Vec<String> = (0..10).map(|number| format!("{number}")).collect();
        let writes = ids.iter().map(|id| {
            let put = PutRequest::builder().item("id", text(id)).build();
            put.map(|put| WriteRequest::builder().put_request(put).build())
        });
        let writes = writes.collect::<Result<Vec<_>, _>>()?;
        let write = |writes: Vec<WriteRequest>| {
            bare.client.batch_write_item().request_items(&bare.table, writes).send()
        };
        bare.proxy.set(|_| Some(Fault::Split(4)));
        let answer = write(writes.clone()).await?;
        let left: Vec<&WriteRequest> =
            answer.unprocessed_items().into_iter().flatten().flat_map(|(_, left)| left).collect();
        expect("the writes handed back", &left, &writes.iter().skip(4).collect())?;
        bare.expect_there(&["0", "1", "2", "3"]).await?;
        // As many as there are, so nothing could be done: an error.
        let refused = write(writes.iter().take(4).cloned().collect()).await;
        let code = refused.as_ref().err().and_then(ProvideErrorMetadata::code);
        expect("a batch of which nothing is done", &code, &Some("ProvisionedThroughputExceededException"))?;

        bare.proxy.heal();
        write(writes).await?;
        bare.proxy.set(|_| Some(Fault::Split(3)));
        let keys: Vec<_> = ids.iter().map(|id| HashMap::from([("id".to_owned(), text(id))])).collect();
        let wanted =
            KeysAndAttributes::builder().set_keys(Some(keys.clone())).consistent_read(true).build()?;
        let answer = bare.client.batch_get_item().request_items(&bare.table, wanted).send().await?;
        let found: Vec<_> = answer.responses().into_iter().flatten().flat_map(|(_, items)| items).collect();
        let left: Vec<_> = answer.unprocessed_keys().into_iter().flatten().map(|(_, left)| left).collect();
        let [left] = *left else { return Err(format!("{left:?} are handed back").into()) };
        expect("handed back as they were asked for", &left.consistent_read(), &Some(true))?;
        let found = found.into_iter().cloned();
        let mut all: Vec<_> = found
            .chain(left.keys().to_vec())
            .filter_map(|item| item.get("id")?.as_s().ok().cloned())
            .collect();
        all.sort();
        expect("the keys found and handed back", &all, &ids)?;
        expect("the keys handed back", &left.keys().len(), &7)
    })
}

fn delays() -> Done {
    block_on(async {
        let bare = Bare::start().await?;
        let time = Duration::from_secs(1);
        bare.proxy.set(move |_| Some(Fault::DelayAfter(time)));
        let begin = Instant::now();
        let (written, there) = tokio::join!(bare.put("a"), async {
            loop {
                let there = bare.there().await?;
                if !there.is_empty() {
                    return Ok::<_, Failed>(begin.elapsed());
                }
            }
        });
        expect("the write", &written, &Ok(()))?;
        // It is done long before, unless the machine stood still; and never answered earlier.
        if there? > begin.elapsed() || begin.elapsed() < time {
            return Err("an answer comes too early".into());
        }
        bare.proxy.set(move |_| Some(Fault::DelayBefore(time)));
        let begin = Instant::now();
        expect("the write", &bare.put("b").await, &Ok(()))?;
        if begin.elapsed() < time {
            return Err("a request is done too early".into());
        }
        bare.expect_there(&["a", "b"]).await
    })
}

/// The same requests meet the same faults, and about as many as were asked for.
fn seeds() -> Done {
    let requests = || {
        (0..2_000).map(|number| crate::proxy::Request {
            number,
            operation: "PutItem".to_owned(),
            body: serde_json::Value::Null,
        })
    };
    let faults = |seed| requests().map(|request| random(seed, 20)(&request)).collect::<Vec<_>>();
    expect("the faults of a seed", &faults(1), &faults(1))?;
    if faults(1) == faults(2) {
        return Err("two seeds make the same faults".into());
    }
    let count = faults(1).into_iter().flatten().count();
    if !(300..500).contains(&count) {
        return Err(format!("{count} faults of 2000 requests, where 20 % were asked for").into());
    }
    Ok(())
}
