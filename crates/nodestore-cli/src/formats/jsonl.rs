//! JSONL: an object on each line. A bad line is named, the others go on.

use std::ops::ControlFlow;

use nodestore::python::parse_json;
use serde_json::Value;

use super::input::{can_not_be_read, text};
use super::json::{kind, place_of};
use super::rows::Types;
use super::{Input, Item, Origin, Out, RowOptions};

pub(super) fn read(
    input: &mut Input,
    origin: &Origin,
    rows: &RowOptions,
    out: &mut Out<'_>,
) -> ControlFlow<()> {
    for line in 1.. {
        let read = match input.line() {
            Ok(None) => break,
            Ok(Some(line)) => line,
            Err(error) => {
                let why = format!("{}; the lines before are kept", can_not_be_read(&error));
                let place = format!("{}:{line}", origin.shown);
                return out(Item::Failed { place, why, bytes: input.take_bytes() });
            }
        };
        let mut column = None;
        let document = read.and_then(text).and_then(|text| {
            if text.trim().is_empty() {
                return Ok(None);
            }
            let value = parse_json(&text).map_err(|error| {
                let (_, at, why) = place_of(&error);
                column = Some(at);
                why
            })?;
            match value {
                Value::Object(row) => rows.document(origin, Some(line), row, Types::Own).map(Some),
                other => Err(format!("the line holds {}, not an object", kind(&other))),
            }
        });
        match document {
            Ok(Some(document)) => out(Item::document(document, input.take_bytes()))?,
            Ok(None) => {}
            Err(why) => {
                let place = match column {
                    Some(column) => format!("{}:{line}:{column}", origin.shown),
                    None => format!("{}:{line}", origin.shown),
                };
                out(Item::Failed { place, why, bytes: input.take_bytes() })?;
            }
        }
    }
    ControlFlow::Continue(())
}
