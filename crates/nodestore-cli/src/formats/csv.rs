//! CSV and TSV: a header, then a document in each row, read row by row. A bad row is named, the others go on.

use std::ops::ControlFlow;

use csv::{ErrorKind, ReaderBuilder, StringRecord};
use nodestore::JsonObject;

use super::input::{can_not_be_read, limit};
use super::rows::Types;
use super::{Format, Input, Item, Origin, Out, RowOptions};

pub(super) fn read(
    mut input: Input,
    origin: &Origin,
    rows: &RowOptions,
    out: &mut Out<'_>,
) -> ControlFlow<()> {
    let separator = match (origin.format, input.first_line()) {
        (Format::Tsv, _) => b'\t',
        (_, Ok(line)) => separator(line),
        (_, Err(error)) => return out(super::failed(origin, can_not_be_read(&error))),
    };
    let most = input.most_bytes();
    input.allow(most);
    let mut reader = ReaderBuilder::new().delimiter(separator).from_reader(input);
    let columns = match reader.headers() {
        Ok(header) => columns(header).and_then(|names| rows.check_columns(&names).map(|()| names)),
        Err(error) => Err(why(&error, most)),
    };
    let columns = match columns {
        Ok(columns) => columns,
        Err(why) => {
            let bytes = reader.get_mut().take_bytes();
            return out(Item::Failed { place: format!("{}:1", origin.shown), why, bytes });
        }
    };
    let mut record = StringRecord::new();
    let mut end = 0;
    for number in 1.. {
        reader.get_mut().allow(most);
        let start = reader.position().line();
        let read = reader.read_record(&mut record);
        let now = reader.position().byte();
        let bytes = now - std::mem::replace(&mut end, now);
        let line = record.position().map_or(start, csv::Position::line);
        let place = || format!("{}:{line}", origin.shown);
        let document = match read {
            Ok(false) => break,
            Ok(true) => {
                let fields = record.iter().map(str::to_owned).map(Into::into);
                let row: JsonObject = columns.iter().cloned().zip(fields).collect();
                rows.document(origin, Some(number), row, Types::FromText)
            }
            Err(error) => {
                let why = why(&error, most);
                if error.is_io_error() {
                    let why = format!("{why}; the rows before are kept, what follows was not read");
                    return out(Item::Failed { place: format!("{}:{start}", origin.shown), why, bytes });
                }
                Err(why)
            }
        };
        out(match document {
            Ok(document) => Item::document(document, bytes),
            Err(why) => Item::Failed { place: place(), why, bytes },
        })?;
    }
    ControlFlow::Continue(())
}

/// The separator that the header has most often.
fn separator(header: &[u8]) -> u8 {
    let mut in_quotes = false;
    let mut counts = [(b',', 0), (b';', 0), (b'\t', 0)];
    for byte in header {
        in_quotes ^= *byte == b'"';
        if let Some((_, count)) = counts.iter_mut().find(|(separator, _)| separator == byte && !in_quotes) {
            *count += 1;
        }
    }
    // The first of those that are equal.
    counts.into_iter().rev().max_by_key(|(_, count)| *count).map_or(b',', |(separator, _)| separator)
}

/// The names of the columns; one without a name gets its number.
fn columns(header: &StringRecord) -> Result<Vec<String>, String> {
    if header.is_empty() {
        return Err("is empty; the first line names the columns".to_owned());
    }
    let mut names: Vec<String> = Vec::new();
    for (place, name) in header.iter().enumerate() {
        let name =
            if name.trim().is_empty() { format!("column_{}", place + 1) } else { name.trim().to_owned() };
        if names.contains(&name) {
            return Err(format!("the header names the column {name:?} twice; rename one"));
        }
        names.push(name);
    }
    Ok(names)
}

fn why(error: &csv::Error, most: u64) -> String {
    match error.kind() {
        ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("the row has {len} fields, the header {expected_len}")
        }
        ErrorKind::Utf8 { .. } => "the row is not UTF-8 text; convert the file".to_owned(),
        ErrorKind::Io(error) if super::input::is_limit(error) => {
            format!("the row has more than {}; is a quotation mark not closed?", limit(most))
        }
        ErrorKind::Io(error) => can_not_be_read(error),
        _ => error.to_string(),
    }
}
