//! Vectors in memory: numbered rows in contiguous blocks, with snapshots for readers.
//!
//! [`VectorTable`] is the writer's side. [`VectorTable::snapshot`] gives a reader everything as it is now, for the
//! price of one pointer per 1,024 rows; the searches are methods of [`VectorSnapshot`]. A writer that
//! changes a block which a snapshot still holds copies that block first. Searches use one thread and no locks:
//! an async caller runs them where blocking is allowed.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::kit::similarity::check_values;
use crate::{Error, Result};

/// Rows in a block: large enough that a scan seldom changes from one to the next, small enough to copy.
pub(crate) const BLOCK_ROWS: usize = 1024;

/// The norm of a row that holds no vector: every comparison with NaN fails, so a scan needs no other mark.
const ABSENT: f64 = f64::NAN;

/// A table of vectors of one length, addressed by row number.
///
/// Rows are numbered by the caller ([`set`](Self::set)) or by the table ([`insert`](Self::insert), which fills
/// removed rows first). Memory: 4 bytes for each dimension and 8 for the norm, for every row up to the highest.
///
/// ```
/// use store_core::kit::similarity::Metric;
/// use store_core::kit::vector_search::Search;
/// use store_core::kit::vector_table::VectorTable;
/// # fn main() -> store_core::Result<()> {
/// let mut table = VectorTable::new(2);
/// let east = table.insert(&[1.0, 0.0])?;
/// let north = table.insert(&[0.0, 1.0])?;
/// let search = Search::new(Metric::Cosine, 1);
/// let found = table.snapshot().search(&[0.2, 0.9], &search, |a, b| a.cmp(&b))?;
/// assert_eq!(found[0].row, north);
/// # let _ = east;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct VectorTable {
    rows: VectorSnapshot,
    // The blocks in which a row below the end is absent.
    with_holes: BTreeSet<usize>,
}

impl VectorTable {
    /// An empty table for vectors of `dimensions` components.
    #[must_use]
    pub fn new(dimensions: usize) -> Self {
        Self { rows: VectorSnapshot { dimensions, blocks: Vec::new(), len: 0 }, with_holes: BTreeSet::new() }
    }

    /// The length of every vector.
    #[must_use]
    pub fn dimensions(&self) -> usize {
        self.rows.dimensions
    }

    /// How many rows hold a vector.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len
    }

    /// Whether no row holds a vector.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.len == 0
    }

    /// The table as it is now; later writes do not show in it.
    #[must_use]
    pub fn snapshot(&self) -> VectorSnapshot {
        self.rows.clone()
    }

    /// The vector of `row`, if it holds one.
    #[must_use]
    pub fn get(&self, row: u32) -> Option<&[f32]> {
        self.rows.get(row)
    }

    /// Stores `vector` in a free row, the lowest there is, and returns its number.
    ///
    /// `InvalidInput` for a wrong length or a component that is not finite, `LimitExceeded` beyond 2³² rows.
    pub fn insert(&mut self, vector: &[f32]) -> Result<u32> {
        let hole = self.with_holes.first().and_then(|at| {
            let offset = self.rows.blocks.get(*at)?.norms.iter().position(|norm| norm.is_nan())?;
            Some(at * BLOCK_ROWS + offset)
        });
        let row = hole.unwrap_or_else(|| self.rows.end());
        let row = u32::try_from(row).map_err(|_| {
            Error::new(crate::ErrorKind::LimitExceeded, "a vector table holds at most 2^32 rows")
        })?;
        self.set(row, vector)?;
        Ok(row)
    }

    /// Stores `vector` in `row`, replacing what is there; rows between the end and `row` stay empty.
    ///
    /// `InvalidInput` for a wrong length or a component that is not finite.
    pub fn set(&mut self, row: u32, vector: &[f32]) -> Result<()> {
        let dimensions = self.rows.dimensions;
        let norm = check_values(vector, dimensions)?.sqrt();
        let (at, offset) = place(row);
        while self.rows.blocks.len() <= at {
            // A block that is no longer the last one is full, with holes where nothing was stored.
            if let Some(last) = self.rows.blocks.last_mut()
                && Arc::make_mut(last).extend_to(BLOCK_ROWS, dimensions)
            {
                self.with_holes.insert(self.rows.blocks.len() - 1);
            }
            self.rows.blocks.push(Arc::new(Block::new(dimensions)));
        }
        let Some(block) = self.rows.blocks.get_mut(at).map(Arc::make_mut) else { return Ok(()) };
        block.extend_to(offset + 1, dimensions);
        if block.put(offset, vector, norm) {
            self.rows.len += 1;
        }
        if block.has_holes() {
            self.with_holes.insert(at);
        } else {
            self.with_holes.remove(&at);
        }
        Ok(())
    }

    /// Empties `row`; whether it held a vector.
    pub fn remove(&mut self, row: u32) -> bool {
        if self.get(row).is_none() {
            return false;
        }
        let (at, offset) = place(row);
        let Some(block) = self.rows.blocks.get_mut(at).map(Arc::make_mut) else { return false };
        if !block.clear(offset) {
            return false;
        }
        self.with_holes.insert(at);
        self.rows.len -= 1;
        true
    }
}

/// A [`VectorTable`] as it was at one moment; cheap to clone and to send to another thread.
///
/// Its searches are in [`Search`](crate::kit::vector_search::Search)'s module, [`crate::kit::vector_search`].
#[derive(Clone, Debug)]
pub struct VectorSnapshot {
    dimensions: usize,
    blocks: Vec<Arc<Block>>,
    len: usize,
}

impl VectorSnapshot {
    /// The length of every vector.
    #[must_use]
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// How many rows hold a vector.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no row holds a vector.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The vector of `row`, if it holds one.
    #[must_use]
    pub fn get(&self, row: u32) -> Option<&[f32]> {
        self.vector_and_norm(row).map(|(vector, _)| vector)
    }

    /// Every row that holds a vector, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &[f32])> {
        self.blocks().flat_map(BlockRows::rows)
    }

    pub(crate) fn vector_and_norm(&self, row: u32) -> Option<(&[f32], f64)> {
        let (at, offset) = place(row);
        let block = self.blocks.get(at)?;
        let norm = *block.norms.get(offset)?;
        let start = offset * self.dimensions;
        let vector = block.values.get(start..start + self.dimensions)?;
        (!norm.is_nan()).then_some((vector, norm))
    }

    pub(crate) fn blocks(&self) -> impl Iterator<Item = BlockRows<'_>> {
        (0..).step_by(BLOCK_ROWS).zip(&self.blocks).map(|(first_row, block)| BlockRows {
            first_row,
            dimensions: self.dimensions,
            values: &block.values,
            norms: &block.norms,
        })
    }

    fn end(&self) -> usize {
        self.blocks.last().map_or(0, |last| (self.blocks.len() - 1) * BLOCK_ROWS + last.norms.len())
    }
}

/// One block to scan. A norm of NaN marks a row that holds no vector.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BlockRows<'a> {
    pub(crate) first_row: u32,
    dimensions: usize,
    pub(crate) values: &'a [f32],
    pub(crate) norms: &'a [f64],
}

impl<'a> BlockRows<'a> {
    /// The vector of each row; zeros, or what was there before, where the row is absent.
    pub(crate) fn vectors(self) -> impl Iterator<Item = &'a [f32]> {
        // Without dimensions there is nothing to cut and nothing is found.
        self.values.chunks_exact(self.dimensions.max(1))
    }

    fn rows(self) -> impl Iterator<Item = (u32, &'a [f32])> {
        let rows = (self.first_row..).zip(self.vectors()).zip(self.norms);
        rows.filter(|(_, norm)| !norm.is_nan()).map(|(row, _)| row)
    }
}

#[derive(Debug)]
struct Block {
    values: Vec<f32>,
    norms: Vec<f64>,
    present: usize,
}

impl Block {
    fn new(dimensions: usize) -> Self {
        // Reserved at once: pages that are not written to cost nothing, and a block never moves while it grows.
        Self {
            values: Vec::with_capacity(BLOCK_ROWS.saturating_mul(dimensions)),
            norms: Vec::with_capacity(BLOCK_ROWS),
            present: 0,
        }
    }

    /// Adds absent rows until there are `rows`; whether any was added.
    fn extend_to(&mut self, rows: usize, dimensions: usize) -> bool {
        if self.norms.len() >= rows {
            return false;
        }
        self.norms.resize(rows, ABSENT);
        self.values.resize(rows * dimensions, 0.0);
        true
    }

    /// Whether the row was absent before.
    fn put(&mut self, offset: usize, vector: &[f32], norm: f64) -> bool {
        let start = offset * vector.len();
        let (Some(values), Some(old)) =
            (self.values.get_mut(start..start + vector.len()), self.norms.get_mut(offset))
        else {
            return false;
        };
        values.copy_from_slice(vector);
        let added = old.is_nan();
        *old = norm;
        self.present += usize::from(added);
        added
    }

    /// Whether the row was present before.
    fn clear(&mut self, offset: usize) -> bool {
        match self.norms.get_mut(offset) {
            Some(norm) if !norm.is_nan() => {
                *norm = ABSENT;
                self.present -= 1;
                true
            }
            _ => false,
        }
    }

    fn has_holes(&self) -> bool {
        self.present < self.norms.len()
    }
}

impl Clone for Block {
    fn clone(&self) -> Self {
        // The derived one would keep the length and lose the room to grow.
        let mut values = Vec::with_capacity(self.values.capacity());
        values.extend_from_slice(&self.values);
        let mut norms = Vec::with_capacity(self.norms.capacity());
        norms.extend_from_slice(&self.norms);
        Self { values, norms, present: self.present }
    }
}

fn place(row: u32) -> (usize, usize) {
    let row = row as usize;
    (row / BLOCK_ROWS, row % BLOCK_ROWS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[derive(Clone, Debug)]
    enum Step {
        Insert(f32),
        Set(u32, f32),
        Remove(u32),
        Snapshot,
    }

    fn step() -> impl Strategy<Value = Step> {
        let row = prop_oneof![4 => 0..12_u32, 1 => 0..5000_u32];
        prop_oneof![
            3 => any::<i8>().prop_map(|value| Step::Insert(f32::from(value))),
            3 => (row.clone(), any::<i8>()).prop_map(|(row, value)| Step::Set(row, f32::from(value))),
            3 => row.prop_map(Step::Remove),
            1 => Just(Step::Snapshot),
        ]
    }

    fn contents(snapshot: &VectorSnapshot) -> BTreeMap<u32, f32> {
        snapshot.iter().map(|(row, vector)| (row, vector[1])).collect()
    }

    proptest! {
        #[test]
        fn behaves_as_a_map_with_snapshots(steps in prop::collection::vec(step(), 0..80)) {
            let mut table = VectorTable::new(2);
            let mut model = BTreeMap::new();
            let mut snapshots = Vec::new();
            for step in steps {
                match step {
                    Step::Insert(value) => {
                        let row = table.insert(&[1.0, value]).unwrap();
                        let lowest_free = (0..9999).find(|row| !model.contains_key(row)).unwrap();
                        prop_assert_eq!(row, lowest_free);
                        model.insert(row, value);
                    }
                    Step::Set(row, value) => {
                        table.set(row, &[1.0, value]).unwrap();
                        model.insert(row, value);
                    }
                    Step::Remove(row) => prop_assert_eq!(table.remove(row), model.remove(&row).is_some()),
                    Step::Snapshot => snapshots.push((table.snapshot(), model.clone())),
                }
                prop_assert_eq!(table.len(), model.len());
            }
            snapshots.push((table.snapshot(), model));
            for (snapshot, model) in snapshots {
                prop_assert_eq!(snapshot.len(), model.len());
                prop_assert_eq!(contents(&snapshot), model);
            }
        }
    }

    #[test]
    fn bad_vectors_change_nothing() {
        let mut table = VectorTable::new(2);
        table.set(3, &[1.0, 2.0]).unwrap();
        for vector in [&[1.0][..], &[1.0, 2.0, 3.0], &[f32::NAN, 1.0], &[1.0, f32::NEG_INFINITY]] {
            assert_eq!(table.set(3, vector).unwrap_err().kind(), ErrorKind::InvalidInput);
            assert_eq!(table.insert(vector).unwrap_err().kind(), ErrorKind::InvalidInput);
        }
        assert_eq!((table.len(), table.get(3)), (1, Some(&[1.0, 2.0][..])));
    }

    #[test]
    fn blocks_are_shared_until_written() {
        let mut table = VectorTable::new(1);
        for row in 0..3000_u16 {
            table.insert(&[f32::from(row)]).unwrap();
        }
        let before = table.snapshot();
        table.set(2000, &[-1.0]).unwrap();
        let after = table.snapshot();
        let shared: Vec<bool> =
            before.blocks.iter().zip(&after.blocks).map(|(a, b)| Arc::ptr_eq(a, b)).collect();
        assert_eq!(shared, [true, false, true]);
        assert_eq!((before.get(2000), after.get(2000)), (Some(&[2000.0][..]), Some(&[-1.0][..])));
    }

    #[test]
    fn no_dimensions_find_nothing_and_do_not_panic() {
        let mut table = VectorTable::new(0);
        assert_eq!(table.insert(&[]).unwrap(), 0);
        assert_eq!(table.snapshot().iter().count(), 0);
    }
}
