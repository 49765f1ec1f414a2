//! What `copy` prints.

use std::time::Instant;

use nodestore::copy::{CopiedPart, CopyPlan, CopyReport, PlannedPart};
use serde_json::{Value, json};

use super::Copy;
use crate::failure::Failure;
use crate::output::{STRONG, count, print, print_json, print_table, say, table, thousands};
use crate::store::Store;

pub(super) fn plan(options: &Copy, from: &Store, to: Option<&Store>, plan: &CopyPlan) -> Result<(), Failure> {
    if options.json {
        let part = |part: &PlannedPart| json!({"part": part.name, "records": part.records, "target_is_empty": part.target_is_empty});
        print_json(&json!({
            "dry_run": true,
            "from": from.shown,
            "to": to.map(|to| &to.shown),
            "parts": plan.parts.iter().map(part).collect::<Vec<_>>(),
            "notes": plan.notes,
        }))?;
        return Ok(());
    }
    let records = plan.parts.iter().map(|part| part.records).sum();
    print(format_args!(
        "{STRONG}{}{STRONG:#} to copy from {}; nothing was written",
        count(records, "record"),
        from.shown
    ))?;
    if plan.parts.is_empty() {
        return Ok(());
    }
    let mut rows = table(&["part", "records", "in TO"]);
    for part in &plan.parts {
        let target = match part.target_is_empty {
            None => "not looked at",
            Some(true) => "nothing yet",
            Some(false) => "some already",
        };
        rows.add_row([part.name.clone(), thousands(part.records), target.to_owned()]);
    }
    print_table(&rows)?;
    if plan.parts.iter().any(|part| part.target_is_empty == Some(false)) {
        say("note: TO holds something already, so that copying wants --overwrite");
    }
    Ok(())
}

pub(super) fn report(
    options: &Copy,
    from: &Store,
    to: &Store,
    report: &CopyReport,
    start: Instant,
) -> Result<(), Failure> {
    if options.json {
        print_json(&json!({
            "dry_run": false,
            "from": from.shown,
            "to": to.shown,
            "equal": report.is_equal(),
            "parts": report.parts.iter().map(to_json).collect::<Vec<_>>(),
            "notes": report.notes,
        }))?;
        return Ok(());
    }
    let ending = if report.is_equal() { "; read back, and the same on both sides" } else { "" };
    print(format_args!(
        "{STRONG}{}{STRONG:#} from {} into {}, in {:.1} s{ending}",
        count(report.records(), "record"),
        from.shown,
        to.shown,
        start.elapsed().as_secs_f64()
    ))?;
    if report.parts.is_empty() {
        return Ok(());
    }
    let mut rows = table(&["part", "records", "checksum"]);
    for part in &report.parts {
        rows.add_row([part.name.clone(), thousands(part.records), part.checksum.clone()]);
        if !part.is_equal() {
            let found = thousands(part.found + part.surplus);
            rows.add_row(["  in TO".to_owned(), found, part.found_checksum.clone()]);
        }
    }
    print_table(&rows)?;
    for part in report.parts.iter().filter(|part| part.left_out > 0) {
        let left_out = thousands(part.left_out);
        say(format_args!("note: {left_out} of {} have no nodes any more and were left out", part.name));
    }
    Ok(())
}

fn to_json(part: &CopiedPart) -> Value {
    json!({
        "part": part.name,
        "records": part.records,
        "checksum": part.checksum,
        "found": part.found,
        "found_checksum": part.found_checksum,
        "different": part.different,
        "examples": part.examples,
        "surplus": part.surplus,
        "left_out": part.left_out,
    })
}
