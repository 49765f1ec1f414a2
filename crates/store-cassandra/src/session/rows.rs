//! What a statement answers.

use std::net::IpAddr;

use cdrs_tokio::frame::Envelope;
use cdrs_tokio::frame::message_response::ResponseBody;
use cdrs_tokio::frame::message_result::{ColSpec, ResResultBody};
use cdrs_tokio::types::CBytes;
use store_core::{Error, Result};

use super::types;
use crate::cells::Column;
use crate::codec;
use crate::error::from_driver;

/// The rows of an answer, cells as they came; and where to go on, if there are more.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    columns: Vec<ColSpec>,
    cells: Vec<Vec<CBytes>>,
    next: Option<Vec<u8>>,
}

impl Rows {
    pub(super) fn read(answer: &Envelope) -> Result<Self> {
        let body = answer.response_body().map_err(from_driver)?;
        let ResponseBody::Result(ResResultBody::Rows(rows)) = body else { return Ok(Self::default()) };
        let next = rows.metadata.paging_state.and_then(CBytes::into_bytes);
        Ok(Self { columns: rows.metadata.col_specs, cells: rows.rows_content, next })
    }

    pub(crate) fn len(&self) -> usize {
        self.cells.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// Where to go on, by [`Call::after`](super::Call::after); `None` at the end.
    pub(crate) fn next(&self) -> Option<&[u8]> {
        self.next.as_deref()
    }

    /// Names and types of the columns, for [`Row::cells`].
    pub(crate) fn columns(&self) -> Vec<Column> {
        types::columns(&self.columns)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Row<'_>> {
        self.cells.iter().map(|cells| Row { columns: &self.columns, cells })
    }

    /// The row at this place.
    pub(crate) fn get(&self, place: usize) -> Option<Row<'_>> {
        self.cells.get(place).map(|cells| Row { columns: &self.columns, cells })
    }

    pub(crate) fn first(&self) -> Option<Row<'_>> {
        self.iter().next()
    }

    /// Whether a lightweight transaction was made. Its answer has the column `[applied]`.
    pub(crate) fn applied(&self) -> Result<bool> {
        let applied = self.first().map(|row| row.flag("[applied]")).transpose()?;
        Ok(applied.unwrap_or(true))
    }

    pub(super) fn first_column(&self) -> impl Iterator<Item = Vec<u8>> {
        self.cells.iter().filter_map(|cells| cells.first()?.as_slice().map(<[u8]>::to_vec))
    }
}

/// A row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row<'a> {
    columns: &'a [ColSpec],
    cells: &'a [CBytes],
}

impl<'a> Row<'a> {
    /// The bytes of a column; `None` where it is null.
    pub(crate) fn bytes(&self, name: &str) -> Result<Option<&'a [u8]>> {
        let place = self.columns.iter().position(|column| column.name == name);
        let cell = place.and_then(|place| self.cells.get(place));
        match cell {
            Some(cell) => Ok(cell.as_slice()),
            None => Err(Error::corrupt(format!("the answer has no column {name:?}"))),
        }
    }

    /// The bytes of all columns in order, `None` where they are null.
    pub(crate) fn cells(&self) -> impl ExactSizeIterator<Item = Option<&'a [u8]>> {
        self.cells.iter().map(CBytes::as_slice)
    }

    /// A text that may be null.
    pub(crate) fn text(&self, name: &str) -> Result<Option<&'a str>> {
        self.bytes(name)?.map(|bytes| codec::read_text(name, bytes)).transpose()
    }

    /// A text that is there.
    pub(crate) fn needed_text(&self, name: &str) -> Result<&'a str> {
        self.text(name)?.ok_or_else(|| Error::corrupt(format!("the column {name:?} is null")))
    }

    /// A boolean; null is false.
    pub(crate) fn flag(&self, name: &str) -> Result<bool> {
        Ok(self.bytes(name)?.is_some_and(|bytes| bytes.first().is_some_and(|byte| *byte != 0)))
    }

    /// An `inet`.
    pub(crate) fn ip(&self, name: &str) -> Result<Option<IpAddr>> {
        let Some(bytes) = self.bytes(name)? else { return Ok(None) };
        let four = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
        let ip = four.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from));
        ip.map(Some).map_err(|_| Error::corrupt(format!("the column {name:?} is no address")))
    }

    /// A `tinyint`, `smallint`, `int`, `bigint`, `timestamp` or `counter`.
    pub(crate) fn integer(&self, name: &str) -> Result<Option<i64>> {
        self.bytes(name)?.map(|bytes| codec::read_integer(name, bytes)).transpose()
    }
}
