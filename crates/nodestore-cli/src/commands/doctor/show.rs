//! The report, for people and for programs.

use std::io::IsTerminal;
use std::time::Duration;

use nodestore::{Capabilities, Finding, Severity};
use serde_json::{Value, json};

use super::Report;
use super::checks::Count;
use crate::failure::Failure;
use crate::output::{ERROR, FAINT, STRONG, WARNING, count, one_line, print, print_table, table, thousands};

/// Columns of the names of facts.
const NAMES: usize = 20;

pub(super) fn show(report: &Report) -> Result<(), Failure> {
    let line = |name: &str, value: &str| {
        print(format_args!("{STRONG}{name:<NAMES$}{STRONG:#}{}", one_line(value, 500)))
    };
    line("store", &report.shown)?;
    line("backend", report.backend)?;
    line("answers in", &latency(&report.pings))?;
    line("nodestore", &version())?;
    line("NODESTORE_URL", report.variable.as_deref().unwrap_or("not set"))?;
    line("terminal", &terminal())?;
    for fact in &report.diagnosis.facts {
        line(&fact.name, &fact.value)?;
    }

    print("")?;
    let mut roles = table(&["role", "offered", "holds", "can do"]);
    for role in roles_of(report) {
        let offered = if role.offered { "yes" } else { "no" };
        roles.add_row([role.name.to_owned(), offered.to_owned(), role.holds, role.can.join("; ")]);
    }
    print_table(&roles)?;

    for finding in &report.diagnosis.findings {
        print("")?;
        show_finding(finding)?;
    }
    print("")?;
    print(summary(&report.diagnosis.findings))?;
    Ok(())
}

fn show_finding(finding: &Finding) -> Result<(), Failure> {
    let style = match finding.severity {
        Severity::Note => STRONG,
        Severity::Warning => WARNING,
        Severity::Error => ERROR,
    };
    let (severity, subject) = (finding.severity.as_str(), one_line(&finding.subject, 80));
    print(format_args!("{style}{severity}:{style:#} {subject}: {}", one_line(&finding.message, 1000)))?;
    print(format_args!("  {FAINT}advice:{FAINT:#} {}", one_line(&finding.advice, 1000)))?;
    Ok(())
}

fn summary(findings: &[Finding]) -> String {
    let number = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let (errors, warnings, notes) =
        (number(Severity::Error), number(Severity::Warning), number(Severity::Note));
    let notes = if notes == 0 { String::new() } else { format!(" ({})", count(notes, "note")) };
    match (errors, warnings) {
        (0, 0) => format!("all is well{notes}"),
        (0, warnings) => format!("{}{notes}", count(warnings, "warning")),
        (errors, warnings) => format!("{}, {}{notes}", count(errors, "error"), count(warnings, "warning")),
    }
}

/// `0.03 ms (slowest of 5: 0.2 ms)`.
fn latency(pings: &[Duration]) -> String {
    let shown = |at: usize| milliseconds(pings.get(at).copied().unwrap_or_default());
    format!(
        "{} ms (slowest of {}: {} ms)",
        shown(pings.len() / 2),
        pings.len(),
        shown(pings.len().saturating_sub(1))
    )
}

fn milliseconds(time: Duration) -> String {
    format!("{:.2}", time.as_secs_f64() * 1e3)
}

/// `0.1.0 for linux on x86_64`.
fn version() -> String {
    use std::env::consts::{ARCH, OS};
    let slow = if cfg!(debug_assertions) { ", built for debugging: slow" } else { "" };
    format!("{} for {OS} on {ARCH}{slow}", env!("CARGO_PKG_VERSION"))
}

/// What stdout is, since colours and the width of tables follow it.
fn terminal() -> String {
    if !std::io::stdout().is_terminal() {
        return "no, so no colours, and tables of 100 columns".to_owned();
    }
    let colours = if std::env::var_os("NO_COLOR").is_some() { ", no colours (NO_COLOR)" } else { "" };
    format!("yes{colours}")
}

struct Role {
    name: &'static str,
    offered: bool,
    holds: String,
    can: Vec<String>,
}

fn roles_of(report: &Report) -> [Role; 5] {
    let Capabilities { kv, docs, index, chat, vectors, .. } = &report.capabilities;
    let counts = &report.counts;
    let nodes = counts.nodes.map(|nodes| format!(", {}", shown(nodes, "node")));
    let documents = counts.documents.map(|documents| shown(documents, "document"));
    [
        Role { name: "key-values", offered: kv.is_some(), holds: String::new(), can: key_values(report) },
        Role {
            name: "documents",
            offered: *docs,
            holds: format!("{}{}", documents.unwrap_or_default(), nodes.unwrap_or_default()),
            can: Vec::new(),
        },
        Role {
            name: "index structs",
            offered: *index,
            holds: counts.indexes.map(|count| shown(count, "index struct")).unwrap_or_default(),
            can: Vec::new(),
        },
        Role {
            name: "chats",
            offered: *chat,
            holds: counts.chats.map(|count| shown(count, "chat")).unwrap_or_default(),
            can: Vec::new(),
        },
        Role {
            name: "vectors",
            offered: vectors.is_some(),
            holds: match (counts.vectors, counts.shape) {
                (Some(vectors), Some((dimensions, metric))) => {
                    format!(
                        "{} of {} dimensions, {}",
                        count(vectors, "vector"),
                        thousands(dimensions),
                        metric.as_str()
                    )
                }
                _ if vectors.is_some() => "not configured yet".to_owned(),
                _ => String::new(),
            },
            can: vector_search(report),
        },
    ]
}

fn shown(number: Count, what: &str) -> String {
    let more = if number.at_least { "at least " } else { "" };
    format!("{more}{}", count(number.items, what))
}

fn key_values(report: &Report) -> Vec<String> {
    let Some(kv) = &report.capabilities.kv else { return Vec::new() };
    let limit = |what: &str, bytes: Option<usize>| {
        bytes.map(|bytes| format!("{what} of up to {} bytes", thousands(bytes)))
    };
    let expiry = kv.ttl.then(|| "expiry".to_owned());
    [expiry, limit("keys", kv.max_key_bytes), limit("values", kv.max_value_bytes)]
        .into_iter()
        .flatten()
        .collect()
}

fn vector_search(report: &Report) -> Vec<String> {
    let Some(vectors) = &report.capabilities.vectors else { return Vec::new() };
    let metrics: Vec<&str> = vectors.metrics.iter().map(|metric| metric.as_str()).collect();
    let mut can = vec![query_kinds(report).join(", "), metrics.join(", ")];
    can.push(if vectors.may_refuse_filters { "some filters" } else { "every filter" }.to_owned());
    can.extend(vectors.needs_embeddings.then(|| "no nodes without embeddings".to_owned()));
    can.extend(vectors.fields.then(|| "fields".to_owned()));
    can.extend(vectors.max_dimensions.map(|most| format!("up to {} dimensions", thousands(most))));
    can
}

/// The names by which queries are written in JSON.
fn query_kinds(report: &Report) -> Vec<String> {
    let kinds = report.capabilities.vectors.iter().flat_map(|vectors| &vectors.query_kinds);
    kinds.filter_map(|kind| Some(serde_json::to_value(kind).ok()?.as_str()?.to_owned())).collect()
}

pub(super) fn to_json(report: &Report) -> Value {
    let Capabilities { shared, kv, docs, index, chat, vectors, .. } = &report.capabilities;
    let pings: Vec<f64> = report.pings.iter().map(|ping| ping.as_secs_f64() * 1e3).collect();
    let counted =
        |count: Option<Count>| count.map(|count| json!({"count": count.items, "complete": !count.at_least}));
    let counts = &report.counts;
    let facts: serde_json::Map<String, Value> =
        report.diagnosis.facts.iter().map(|fact| (fact.name.clone(), json!(fact.value))).collect();
    json!({
        "reachable": true,
        "store": report.shown,
        "backend": report.backend,
        "version": env!("CARGO_PKG_VERSION"),
        "debug_build": cfg!(debug_assertions),
        "nodestore_url": report.variable,
        "ping_ms": pings,
        "facts": facts,
        "capabilities": {
            "shared": shared,
            "kv": kv.as_ref().map(|kv| json!({
                "ttl": kv.ttl,
                "max_key_bytes": kv.max_key_bytes,
                "max_value_bytes": kv.max_value_bytes,
            })),
            "docs": docs,
            "index": index,
            "chat": chat,
            "vectors": vectors.as_ref().map(|vectors| json!({
                "query_kinds": query_kinds(report),
                "metrics": vectors.metrics.iter().map(|metric| metric.as_str()).collect::<Vec<_>>(),
                "may_refuse_filters": vectors.may_refuse_filters,
                "needs_embeddings": vectors.needs_embeddings,
                "fields": vectors.fields,
                "max_dimensions": vectors.max_dimensions,
            })),
        },
        "holds": {
            "documents": counted(counts.documents),
            "nodes": counted(counts.nodes),
            "chats": counted(counts.chats),
            "indexes": counted(counts.indexes),
            "vectors": counts.vectors.map(|vectors| json!({
                "count": vectors,
                "dimensions": counts.shape.map(|(dimensions, _)| dimensions),
                "metric": counts.shape.map(|(_, metric)| metric.as_str()),
            })),
        },
        "findings": report.diagnosis.findings,
    })
}
