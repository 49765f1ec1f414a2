//! Which rows a filter or a selector admits, from the metadata index alone: always the whole filter, exactly.

use std::cell::OnceCell;
use std::ops::Bound;

use roaring::RoaringBitmap;
use serde::Deserialize;
use serde_json::Value;
use store_core::filter::{Condition, Filter, Scalar};
use store_core::{Error, JsonObject, Result, Selector};

use super::metadata_keys::{
    BOOL, ELEMENT, INSTANT, LIST, LONG_TEXT, NULL_ELEMENT, NUMBER, Parts, TEXT, WHOLE_TEXT, cut, exact_key,
    float_key, instant_key, parts, path_span, prefix, text_key, value_prefix,
};
use crate::codec::Span;
use crate::engine::Table;
use crate::packed::from_packed;

/// The tables that answer a filter.
pub(super) struct Index<'a> {
    said: &'a dyn Table,
    ids: &'a dyn Table,
    rows: &'a dyn Table,
    nodes: &'a dyn Table,
    everything: OnceCell<RoaringBitmap>,
}

/// A node's metadata, without the rest of it.
#[derive(Deserialize)]
struct StoredNode {
    #[serde(rename = "__data__")]
    data: StoredData,
}

#[derive(Deserialize)]
struct StoredData {
    #[serde(default)]
    metadata: JsonObject,
}

/// Which side of a value an order comparison takes.
#[derive(Clone, Copy)]
enum Side {
    Above,
    AtOrAbove,
    Below,
    AtOrBelow,
}

impl<'a> Index<'a> {
    pub(super) fn new(
        said: &'a dyn Table,
        ids: &'a dyn Table,
        rows: &'a dyn Table,
        nodes: &'a dyn Table,
    ) -> Self {
        Self { said, ids, rows, nodes, everything: OnceCell::new() }
    }

    /// The selected rows; `None` when the selector restricts nothing.
    pub(super) fn select(&self, selector: &Selector) -> Result<Option<RoaringBitmap>> {
        if selector.is_unrestricted() {
            return Ok(None);
        }
        let mut selected: Option<RoaringBitmap> = None;
        let mut restrict = |rows: RoaringBitmap| match &mut selected {
            Some(selected) => *selected &= rows,
            None => selected = Some(rows),
        };
        if let Some(ids) = &selector.ids {
            let mut rows = RoaringBitmap::new();
            for id in ids {
                if let Some(row) = self.ids.get(id.as_str().as_bytes())? {
                    rows.insert(row_number(row.value())?);
                }
            }
            restrict(rows);
        }
        if let Some(ref_docs) = &selector.ref_docs {
            let mut rows = RoaringBitmap::new();
            for id in ref_docs {
                rows |= self.rows_of(&Span::prefix(&value_prefix("", TEXT, &text_key(id.as_str()))))?;
            }
            restrict(rows);
        }
        if let Some(filter) = &selector.filter {
            restrict(self.admits(filter)?);
        }
        Ok(selected)
    }

    /// The rows that a filter admits.
    fn admits(&self, filter: &Filter) -> Result<RoaringBitmap> {
        match filter {
            Filter::All(parts) => {
                let mut rows: Option<RoaringBitmap> = None;
                for part in parts {
                    rows = Some(match (rows, part) {
                        (None, part) => self.admits(part)?,
                        (Some(rows), _) if rows.is_empty() => return Ok(rows),
                        // What remains needs no look at everything there is.
                        (Some(rows), Filter::Not(inner)) => rows - self.admits(inner)?,
                        (Some(rows), part) => rows & self.admits(part)?,
                    });
                }
                rows.map_or_else(|| self.everything(), Ok)
            }
            Filter::Any(parts) => {
                parts.iter().try_fold(RoaringBitmap::new(), |rows, part| Ok(rows | self.admits(part)?))
            }
            Filter::Not(inner) => Ok(self.everything()? - self.admits(inner)?),
            Filter::Field { key, condition } => self.field(key, condition),
        }
    }

    fn field(&self, path: &str, condition: &Condition) -> Result<RoaringBitmap> {
        match condition {
            Condition::Eq(value) => self.equal(path, value),
            Condition::Ne(value) => Ok(self.everything()? - self.equal(path, value)?),
            Condition::In(values) => self.one_of(path, values),
            Condition::NotIn(values) => Ok(self.everything()? - self.one_of(path, values)?),
            Condition::Gt(value) => self.ordered(path, condition, Side::Above, value),
            Condition::Gte(value) => self.ordered(path, condition, Side::AtOrAbove, value),
            Condition::Lt(value) => self.ordered(path, condition, Side::Below, value),
            Condition::Lte(value) => self.ordered(path, condition, Side::AtOrBelow, value),
            Condition::Between(low, high) => {
                let above = self.ordered(path, &Condition::Gte(low.clone()), Side::AtOrAbove, low)?;
                Ok(above & self.ordered(path, &Condition::Lte(high.clone()), Side::AtOrBelow, high)?)
            }
            Condition::Contains(value) => self.contains(path, value),
            Condition::AnyOf(values) => values
                .iter()
                .try_fold(RoaringBitmap::new(), |rows, value| Ok(rows | self.contains(path, value)?)),
            Condition::AllOf(values) => {
                let tags = [LIST, TEXT, LONG_TEXT];
                let mut rows = tags.iter().try_fold(RoaringBitmap::new(), |rows, tag| {
                    Ok::<_, Error>(rows | self.rows_of(&Span::prefix(&prefix(path, *tag)))?)
                })?;
                for value in values {
                    rows &= self.contains(path, value)?;
                }
                Ok(rows)
            }
            Condition::TextMatch(_) | Condition::TextMatchInsensitive(_) => self.texts(path, condition),
            Condition::IsEmpty => {
                let present = self.rows_of(&path_span(path))?;
                let empty_text = self.rows_of(&Span::prefix(&value_prefix(path, TEXT, &text_key(""))))?;
                let empty_list = self.rows_of(&Span::prefix(&value_prefix(path, LIST, &[0])))?;
                Ok((self.everything()? - present) | empty_text | empty_list)
            }
            Condition::Exists(true) => self.rows_of(&path_span(path)),
            Condition::Exists(false) => Ok(self.everything()? - self.rows_of(&path_span(path))?),
        }
    }

    fn one_of(&self, path: &str, values: &[Scalar]) -> Result<RoaringBitmap> {
        values.iter().try_fold(RoaringBitmap::new(), |rows, value| Ok(rows | self.equal(path, value)?))
    }

    fn equal(&self, path: &str, value: &Scalar) -> Result<RoaringBitmap> {
        if *value == Scalar::Null {
            return Ok(self.everything()? - self.rows_of(&path_span(path))?);
        }
        self.same(path, value, 0, &Condition::Eq(value.clone()))
    }

    /// The rows where the field holds a list with the value, or a text with the text in it.
    fn contains(&self, path: &str, value: &Scalar) -> Result<RoaringBitmap> {
        let condition = Condition::Contains(value.clone());
        let mut rows = self.same(path, value, ELEMENT, &condition)?;
        if matches!(value, Scalar::Text(_)) {
            rows |= self.texts(path, &condition)?;
        }
        Ok(rows)
    }

    /// The rows with this very value, as the field itself or as an element of it. `condition` is what a text too
    /// long for the index is held against.
    fn same(&self, path: &str, value: &Scalar, element: u8, condition: &Condition) -> Result<RoaringBitmap> {
        let rows =
            |tag: u8, value: &[u8]| self.rows_of(&Span::prefix(&value_prefix(path, element | tag, value)));
        match value {
            Scalar::Null => self.rows_of(&Span::prefix(&prefix(path, NULL_ELEMENT))),
            Scalar::Bool(value) => rows(BOOL, &[u8::from(*value)]),
            Scalar::Integer(value) => rows(NUMBER, &exact_key(*value)),
            Scalar::Float(value) => rows(NUMBER, &float_key(*value)),
            Scalar::Timestamp(instant) => rows(INSTANT, &instant_key(*instant)),
            Scalar::Text(text) if text.len() > WHOLE_TEXT => {
                self.verified(rows(LONG_TEXT, cut(text))?, path, condition)
            }
            Scalar::Text(text) => rows(TEXT, &text_key(text)),
        }
    }

    fn ordered(
        &self,
        path: &str,
        condition: &Condition,
        side: Side,
        value: &Scalar,
    ) -> Result<RoaringBitmap> {
        let rows = |tag: u8, value: &[u8]| self.rows_of(&side_span(path, tag, value, side));
        match value {
            Scalar::Integer(value) => rows(NUMBER, &exact_key(*value)),
            Scalar::Float(value) => rows(NUMBER, &float_key(*value)),
            Scalar::Timestamp(instant) => rows(INSTANT, &instant_key(*instant)),
            Scalar::Text(text) => {
                let long = self.rows_of(&Span::prefix(&prefix(path, LONG_TEXT)))?;
                Ok(rows(TEXT, &text_key(text))? | self.verified(long, path, condition)?)
            }
            Scalar::Null | Scalar::Bool(_) => Ok(RoaringBitmap::new()),
        }
    }

    /// The rows whose field is a text that satisfies the condition.
    fn texts(&self, path: &str, condition: &Condition) -> Result<RoaringBitmap> {
        let mut rows = RoaringBitmap::new();
        for row in self.said.range(&Span::prefix(&prefix(path, TEXT)))? {
            let (key, _) = row?;
            let parts = parts(key.value(), path)?;
            if condition.matches_value(Some(&parts.scalar()?)) {
                rows.insert(parts.row);
            }
        }
        let long = self.rows_of(&Span::prefix(&prefix(path, LONG_TEXT)))?;
        Ok(rows | self.verified(long, path, condition)?)
    }

    /// Of these rows, those whose node itself satisfies the condition.
    fn verified(&self, mut rows: RoaringBitmap, path: &str, condition: &Condition) -> Result<RoaringBitmap> {
        let mut refused = RoaringBitmap::new();
        for row in &rows {
            let metadata = self.metadata(row)?;
            if !condition.matches_value(store_core::filter::lookup(&metadata, path)) {
                refused.insert(row);
            }
        }
        rows -= refused;
        Ok(rows)
    }

    /// A node's metadata.
    pub(super) fn metadata(&self, row: u32) -> Result<JsonObject> {
        match self.nodes.get(&row.to_be_bytes())? {
            Some(node) => Ok(from_packed::<StoredNode>(node.value())?.data.metadata),
            None => Ok(JsonObject::new()),
        }
    }

    /// Every row in use.
    pub(super) fn everything(&self) -> Result<RoaringBitmap> {
        if let Some(rows) = self.everything.get() {
            return Ok(rows.clone());
        }
        let mut rows = RoaringBitmap::new();
        for row in self.rows.range(&Span::all())? {
            let (key, _) = row?;
            rows.insert(row_number(key.value())?);
        }
        Ok(self.everything.get_or_init(|| rows).clone())
    }

    fn rows_of(&self, span: &Span) -> Result<RoaringBitmap> {
        let mut rows = RoaringBitmap::new();
        for row in self.said.range(span)? {
            let (key, _) = row?;
            let (_, row) = key
                .value()
                .split_last_chunk()
                .ok_or_else(|| Error::corrupt("a row of the metadata index is cut short"))?;
            rows.insert(u32::from_be_bytes(*row));
        }
        Ok(rows)
    }

    /// Calls `see` with each scalar of a field that a selected row holds (a text too long for the index as a
    /// whole), in no particular order.
    pub(super) fn scalars(
        &self,
        path: &str,
        selected: Option<&RoaringBitmap>,
        mut see: impl FnMut(Value),
    ) -> Result<()> {
        let admits = |row: u32| selected.is_none_or(|rows| rows.contains(row));
        let mut last: Option<Vec<u8>> = None;
        for tag in [BOOL, NUMBER, TEXT] {
            for row in self.said.range(&Span::prefix(&prefix(path, tag)))? {
                let (key, _) = row?;
                let found: Parts<'_> = parts(key.value(), path)?;
                // Rows of one value lie together: it is told once.
                if !admits(found.row) || last.as_deref() == Some(found.value) {
                    continue;
                }
                see(found.scalar()?);
                last = Some(found.value.to_vec());
            }
            last = None;
        }
        for row in
            self.rows_of(&Span::prefix(&prefix(path, LONG_TEXT)))?.into_iter().filter(|row| admits(*row))
        {
            if let Some(value) = store_core::filter::lookup(&self.metadata(row)?, path) {
                see(value.clone());
            }
        }
        Ok(())
    }
}

fn side_span(path: &str, tag: u8, value: &[u8], side: Side) -> Span {
    let all = Span::prefix(&prefix(path, tag));
    let this = Span::prefix(&value_prefix(path, tag, value));
    let after = |span: Span| match span.high {
        Bound::Excluded(end) => Bound::Included(end),
        other => other,
    };
    let before = |span: Span| match span.low {
        Bound::Included(start) => Bound::Excluded(start),
        other => other,
    };
    match side {
        Side::Above => Span { low: after(this), high: all.high },
        Side::AtOrAbove => Span { low: this.low, high: all.high },
        Side::Below => Span { low: all.low, high: before(this) },
        Side::AtOrBelow => Span { low: all.low, high: this.high },
    }
}

/// A stored row number.
pub(super) fn row_number(bytes: &[u8]) -> Result<u32> {
    let bytes = bytes.try_into().map_err(|_| Error::corrupt("a stored row number is not 4 bytes long"))?;
    Ok(u32::from_be_bytes(bytes))
}
