//! Transactions with tokens of their own, sent again and again until they are acknowledged.

use std::collections::HashMap;
use std::time::Duration;

use libtest_mimic::Failed;
use store_dynamodb::DynamoDbBackend;
use store_dynamodb::aws_sdk_dynamodb::types::{AttributeValue, ScalarAttributeType, Update};

use crate::common::{Done, Test, block_on, soak};
use crate::namespace;
use crate::proxied::Pair;
use crate::proxy::random;
use crate::proxy_checks::make_table;
use crate::random::seed;

pub(crate) const TRIALS: &[(&str, Test)] = &[("fault_of_every_kind_lets_a_token_count_once", counts_once)];

const TIMEOUT: Duration = Duration::from_secs(10);
const WORKERS: u64 = 4;

/// Adding to a number is no write that may happen twice; a token is all that it has.
fn counts_once() -> Done {
    let each = if soak() { 1_250 } else { 40 };
    block_on(async {
        let pair = Pair::start(TIMEOUT).await?;
        let table = namespace();
        make_table(pair.direct.client()?, &table, "id", &ScalarAttributeType::S, None).await?;
        pair.proxy.set(random(seed()?, 15));
        let workers: Vec<_> = (0..WORKERS)
            .map(|worker| tokio::spawn(count(pair.store.clone(), table.clone(), worker, each)))
            .collect();
        let mut again = 0;
        for worker in workers {
            again += worker.await??;
        }
        println!(
            "{} transactions, {again} sent again by hand, while there were {}",
            WORKERS * each,
            pair.proxy
        );
        // All of them, and each one's own.
        let wanted = (0..WORKERS).map(|worker| (worker.to_string(), each));
        for (id, wanted) in wanted.chain([("all".to_owned(), WORKERS * each)]) {
            let get =
                pair.direct.client()?.get_item().table_name(&table).key("id", AttributeValue::S(id.clone()));
            let item = get.consistent_read(true).send().await?.item.unwrap_or_default();
            let found = item.get("n").and_then(|number| number.as_n().ok()).cloned().unwrap_or_default();
            if found != wanted.to_string() {
                return Err(format!("{id} is counted to {found}, not to {wanted}").into());
            }
        }
        Ok(())
    })
}

/// Counts up two numbers together; answers how often it had to ask again.
async fn count(store: DynamoDbBackend, table: String, worker: u64, times: u64) -> Result<u64, Failed> {
    let mut again = 0;
    for time in 0..times {
        loop {
            let mut transaction = store.transaction().with_token(format!("{table} {worker} {time}"));
            for id in ["all".to_owned(), worker.to_string()] {
                let one = AttributeValue::N("1".to_owned());
                let update = Update::builder()
                    .table_name(&table)
                    .set_key(Some(HashMap::from([("id".to_owned(), AttributeValue::S(id))])))
                    .update_expression("ADD #n :one")
                    .expression_attribute_names("#n", "n")
                    .expression_attribute_values(":one", one);
                transaction = transaction.update(update.build()?);
            }
            match transaction.send().await {
                Ok(()) => break,
                Err(error) if error.is_retryable() => again += 1,
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(again)
}
