//! What a store says of its own health: the tables, their settings, and what is going to hurt.
//!
//! The service is asked for more than a user of the store need be allowed to see; what it refuses is left out.

use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::{BillingMode, TableDescription, TimeToLiveStatus};
use store_core::{Diagnosis, ErrorKind, Finding, Result, Severity};

use crate::config::DynamoDbConnection;
use crate::schema::EXPIRES;
use crate::space::Space;
use crate::tables;
use crate::vector;

/// The service in the same region answers within a few milliseconds.
const SLOW: Duration = Duration::from_millis(50);
/// How often the service is asked for its answer time; the middle one counts.
const PINGS: usize = 5;
/// A provisioned table of fewer units throttles a batch of a hundred items.
const FEW_UNITS: i64 = 25;

/// Looks through the tables.
pub(crate) async fn look(space: &Space) -> Result<Diagnosis> {
    let answer_time = answer_time(space).await?;
    let connection = &space.config.connection;
    let region = space.client()?.config().region().map(ToString::to_string).unwrap_or_default();
    let mut facts = Diagnosis::new()
        .with_fact("store-dynamodb", env!("CARGO_PKG_VERSION"))
        .with_fact("region", region)
        .with_fact("endpoint", connection.endpoint_url.as_deref().unwrap_or("Amazon's"))
        .with_fact("answers within", shown(answer_time));
    let mut findings: Vec<Finding> = Vec::new();
    findings.extend(far(answer_time));
    findings.extend(plain(connection));

    match tables::describe(space, &space.main).await? {
        None => {
            facts = facts.with_fact("table", format!("{}, which is not there", space.main));
            findings.push(missing(space));
        }
        Some(table) => {
            facts = facts.with_fact("table", of_table(&space.main, &table));
            findings.extend(of_keys(&space.main, &table));
            findings.extend(of_settings(space, &table).await);
            let protected = table.deletion_protection_enabled.unwrap_or(false);
            facts = facts.with_fact("deletion protection", if protected { "yes" } else { "no" });
            let (expiry, finding) = expiry(space).await;
            facts = facts.with_fact("expired items", expiry);
            findings.extend(finding);
        }
    }
    for name in tables::of_store(space).await.unwrap_or_default() {
        if name != space.main
            && let Some(table) = tables::describe(space, &name).await?
        {
            let how = vector::how(&table);
            facts = facts.with_fact("vectors", format!("{}, {how}", of_table(&name, &table)));
        }
    }
    let reads = if space.config.consistent_reads { "strong" } else { "eventual: they may lag a moment" };
    facts = facts
        .with_fact("reads", reads)
        .with_fact("time for a call", format!("{} ms", space.config.operation_timeout.as_millis()));
    Ok(findings.into_iter().fold(facts, Diagnosis::with_finding))
}

async fn answer_time(space: &Space) -> Result<Duration> {
    let mut times = Vec::with_capacity(PINGS);
    for _ in 0..PINGS {
        let begin = Instant::now();
        space.call(space.client()?.list_tables().limit(1).send()).await?;
        times.push(begin.elapsed());
    }
    times.sort_unstable();
    Ok(times.get(PINGS / 2).copied().unwrap_or_default())
}

fn shown(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

fn far(time: Duration) -> Option<Finding> {
    (time > SLOW).then(|| {
        Finding::note(
            "answer time",
            format!("the service answers after {}, so each call takes that at least", shown(time)),
            "run the program in the table's region, and give calls many items at a time",
        )
    })
}

/// Items go over the network as they are.
fn plain(connection: &DynamoDbConnection) -> Option<Finding> {
    let url = connection.endpoint_url.as_deref()?;
    let host = url.strip_prefix("http://")?;
    let here = ["127.", "localhost", "[::1]"].iter().any(|here| host.starts_with(here));
    (!here).then(|| {
        Finding::warning(
            "TLS",
            "everything goes to another machine without encryption",
            "write https:// in endpoint_url, where the server has it",
        )
    })
}

fn missing(space: &Space) -> Finding {
    if space.config.create {
        return Finding::note("table", "it is made at the first use", "nothing; or make it beforehand");
    }
    Finding::new(
        Severity::Error,
        "table",
        "it is not there, and is not to be made",
        "make it with a partition key and a sort key of type S, or open the store with store.create=true",
    )
}

/// A table in a few words. The service counts items every six hours or so.
fn of_table(name: &str, table: &TableDescription) -> String {
    let status = table.table_status.as_ref().map_or("unknown", |status| status.as_str()).to_ascii_lowercase();
    let items = table.item_count.unwrap_or_default();
    let bytes = table.table_size_bytes.unwrap_or_default();
    format!("{name}: {status}, {}, about {items} items of {bytes} bytes", billing(table))
}

fn provisioned(table: &TableDescription) -> bool {
    let summary = table.billing_mode_summary.as_ref();
    summary.and_then(|summary| summary.billing_mode.as_ref()) != Some(&BillingMode::PayPerRequest)
}

fn billing(table: &TableDescription) -> String {
    match table.provisioned_throughput.as_ref().filter(|_| provisioned(table)) {
        Some(units) => format!(
            "{} read and {} write units",
            units.read_capacity_units.unwrap_or_default(),
            units.write_capacity_units.unwrap_or_default()
        ),
        None => "paid by request".to_owned(),
    }
}

fn of_keys(name: &str, table: &TableDescription) -> Option<Finding> {
    tables::keys_of(table).is_none().then(|| {
        Finding::new(
            Severity::Error,
            "keys",
            format!("the table {name} has not a partition key and a sort key of type S"),
            "name another table: the keys of this one can not be changed",
        )
    })
}

async fn of_settings(space: &Space, table: &TableDescription) -> Vec<Finding> {
    let mut findings = Vec::new();
    let units = table.provisioned_throughput.as_ref().filter(|_| provisioned(table));
    if let Some(units) = units
        && units.write_capacity_units.is_some_and(|units| units < FEW_UNITS)
    {
        findings.push(Finding::note(
            "capacity",
            format!("{}: batches are throttled, and take longer", billing(table)),
            "give the table more units, let them scale by themselves, or pay by request",
        ));
    }
    let ours = space.config.connection.endpoint_url.is_none();
    let backups = async {
        let ask = space.client()?.describe_continuous_backups().table_name(&space.main);
        space.call(ask.send()).await
    };
    if ours && let Ok(answer) = backups.await {
        let recovery = answer
            .continuous_backups_description
            .and_then(|backups| backups.point_in_time_recovery_description)
            .and_then(|recovery| recovery.point_in_time_recovery_status);
        if recovery.is_none_or(|status| status.as_str() != "ENABLED") {
            findings.push(Finding::note(
                "backups",
                "the table can not be brought back to an earlier moment",
                "switch point-in-time recovery on, if its data can not be made again",
            ));
        }
    }
    findings
}

/// Whether the service removes what is past its time.
async fn expiry(space: &Space) -> (&'static str, Option<Finding>) {
    let ask = async {
        let ask = space.client()?.describe_time_to_live().table_name(&space.main);
        space.call(ask.send()).await
    };
    let description = match ask.await {
        Ok(answer) => answer.time_to_live_description,
        Err(error) if error.kind() == ErrorKind::Unauthorized => return ("may not be asked", None),
        Err(_) => return ("not known", None),
    };
    let status = description.as_ref().and_then(|ttl| ttl.time_to_live_status.as_ref());
    let on = matches!(status, Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling));
    let ours = description.as_ref().and_then(|ttl| ttl.attribute_name.as_deref()) == Some(EXPIRES);
    if on && ours {
        return ("hidden at once, removed by the service within days", None);
    }
    let finding = Finding::note(
        "expired items",
        "the service does not remove what is past its time: such items are hidden, and paid for",
        format!("switch the table's time to live on, with the attribute {EXPIRES}, if you use one"),
    );
    ("hidden, and never removed", Some(finding))
}

#[cfg(test)]
#[path = "diagnose_tests.rs"]
mod tests;
