//! The dot products of several queries with many rows, by tiles of four rows and three queries.
//!
//! A batch is bound by arithmetic and not by memory: a tile loads seven values for twelve multiplications, where a
//! single dot product loads two for one. On x86-64 with AVX2 and FMA, found out when the program runs, the tile is
//! written with those instructions; elsewhere the compiler makes of a plain loop what it can.
//!
//! A general matrix product (`matrixmultiply`, numpy's) first copies the rows into an order of its own; where each
//! row meets only a few dozen queries, that costs more than the loads it saves (docs/performance.md).

use std::iter::repeat;

use crate::kit::similarity::dot_f32;

const ROWS: usize = 4;
const QUERIES: usize = 3;

type Tile = [[f32; QUERIES]; ROWS];

/// Rows that pass together: they stay in the processor's second cache while all queries pass by.
const PANEL_ROWS: usize = 4 * ROWS;

/// The queries of a batch.
#[derive(Debug)]
pub(crate) struct Queries {
    // The first one reads each panel of rows from memory, in one stream and as fast as memory can; the tiles, which
    // read four rows at a time, then find them in the cache. Without that they wait for memory: a batch of four took
    // 1.6 times as long.
    first: Vec<f32>,
    // The others, one after the other, filled up with zeros to whole tiles.
    others: Vec<f32>,
    dimensions: usize,
}

impl Queries {
    /// Every query has `dimensions` values; what is missing counts as 0 and what is too much is cut off.
    pub(crate) fn new(queries: &[&[f32]], dimensions: usize) -> Self {
        let mut all = queries.iter().map(|query| query.iter().copied().chain(repeat(0.0)).take(dimensions));
        let first = all.next().into_iter().flatten().collect();
        let mut others: Vec<f32> = all.flatten().collect();
        let padded = queries.len().saturating_sub(1).next_multiple_of(QUERIES);
        others.resize(padded.saturating_mul(dimensions), 0.0);
        Self { first, others, dimensions }
    }

    /// Writes the dot product of each query with each row, sums in `f32`, the query's products together:
    /// `products[query * rows + row]`. Returns the number of rows.
    ///
    /// `rows` holds whole vectors one after the other; an incomplete one at the end is ignored. The zeros that fill
    /// up a tile get their products too, at the end.
    pub(crate) fn products(&self, rows: &[f32], products: &mut Vec<f32>) -> usize {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
            // SAFETY: the tile's one demand is that the processor has AVX2 and FMA, which was asked just now.
            #[allow(unsafe_code)]
            return self.products_by(rows, products, |rows, queries| unsafe { avx2::tile(rows, queries) });
        }
        self.products_by(rows, products, portable_tile)
    }

    fn products_by(
        &self,
        rows: &[f32],
        products: &mut Vec<f32>,
        tile: impl Fn([&[f32]; ROWS], [&[f32]; QUERIES]) -> Tile,
    ) -> usize {
        products.clear();
        let dimensions = self.dimensions;
        let count = rows.len().checked_div(dimensions).unwrap_or(0);
        if count == 0 || self.first.is_empty() {
            return count;
        }
        let queries = 1 + self.others.len() / dimensions;
        products.resize(queries.saturating_mul(count), 0.0);
        let (of_first, of_others) = products.split_at_mut(count);
        let panels = rows.chunks(dimensions.saturating_mul(PANEL_ROWS));
        for ((panel, of_first), start) in
            panels.zip(of_first.chunks_mut(PANEL_ROWS)).zip((0..count).step_by(PANEL_ROWS))
        {
            for (product, row) in of_first.iter_mut().zip(panel.chunks_exact(dimensions)) {
                *product = dot_f32(&self.first, row);
            }
            let groups = panel.chunks(dimensions.saturating_mul(ROWS));
            for (rows, start) in groups.zip((start..count).step_by(ROWS)) {
                let queries = self.others.chunks_exact(dimensions.saturating_mul(QUERIES));
                for (queries, products) in queries.zip(of_others.chunks_exact_mut(count * QUERIES)) {
                    let products =
                        products.chunks_exact_mut(count).map(|products| products.iter_mut().skip(start));
                    if let (Some(rows), Some(queries)) =
                        (vectors(rows, dimensions), vectors(queries, dimensions))
                    {
                        let tile = tile(rows, queries);
                        for (query, products) in products.enumerate() {
                            for (place, product) in products.zip(tile.iter().filter_map(|row| row.get(query)))
                            {
                                *place = *product;
                            }
                        }
                    } else {
                        // The last rows of all, when they do not fill a tile.
                        for (query, products) in queries.chunks_exact(dimensions).zip(products) {
                            for (place, row) in products.zip(rows.chunks_exact(dimensions)) {
                                *place = dot_f32(query, row);
                            }
                        }
                    }
                }
            }
        }
        count
    }
}

/// The `N` vectors in `values`, if it holds as many.
fn vectors<const N: usize>(values: &[f32], dimensions: usize) -> Option<[&[f32]; N]> {
    let mut found: [&[f32]; N] = [&[]; N];
    let mut vectors = values.chunks_exact(dimensions);
    for place in &mut found {
        *place = vectors.next()?;
    }
    Some(found)
}

fn portable_tile(rows: [&[f32]; ROWS], queries: [&[f32]; QUERIES]) -> Tile {
    rows.map(|row| queries.map(|query| dot_f32(row, query)))
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::{
        __m256, _mm_add_ps, _mm_add_ss, _mm_cvtss_f32, _mm_movehdup_ps, _mm_movehl_ps,
        _mm256_castps256_ps128, _mm256_extractf128_ps, _mm256_fmadd_ps, _mm256_setr_ps, _mm256_setzero_ps,
    };

    use super::{QUERIES, ROWS, Tile};

    const LANES: usize = 8;

    /// Twelve sums of eight lanes each, and four more registers for the values: all sixteen that there are.
    #[target_feature(enable = "avx2,fma")]
    pub(super) fn tile(rows: [&[f32]; ROWS], queries: [&[f32]; QUERIES]) -> Tile {
        let [(r0, r0_rest), (r1, r1_rest), (r2, r2_rest), (r3, r3_rest)] =
            rows.map(<[f32]>::as_chunks::<LANES>);
        let [(q0, q0_rest), (q1, q1_rest), (q2, q2_rest)] = queries.map(<[f32]>::as_chunks::<LANES>);
        let mut sums = [[_mm256_setzero_ps(); QUERIES]; ROWS];
        let rows = r0.iter().zip(r1).zip(r2).zip(r3);
        let queries = q0.iter().zip(q1).zip(q2);
        for ((((r0, r1), r2), r3), ((q0, q1), q2)) in rows.zip(queries) {
            let queries = [load(q0), load(q1), load(q2)];
            for (sums, row) in sums.iter_mut().zip([r0, r1, r2, r3]) {
                let row = load(row);
                for (sum, query) in sums.iter_mut().zip(queries) {
                    *sum = _mm256_fmadd_ps(row, query, *sum);
                }
            }
        }
        let mut tile = sums.map(|sums| sums.map(|sum| total(sum)));
        if !r0_rest.is_empty() {
            for (products, row) in tile.iter_mut().zip([r0_rest, r1_rest, r2_rest, r3_rest]) {
                for (product, query) in products.iter_mut().zip([q0_rest, q1_rest, q2_rest]) {
                    *product += row.iter().zip(query).map(|(x, y)| x * y).sum::<f32>();
                }
            }
        }
        tile
    }

    /// Becomes one load instruction; the intrinsic for it takes a pointer.
    #[target_feature(enable = "avx2,fma")]
    #[inline]
    fn load(values: &[f32; LANES]) -> __m256 {
        let [v0, v1, v2, v3, v4, v5, v6, v7] = *values;
        _mm256_setr_ps(v0, v1, v2, v3, v4, v5, v6, v7)
    }

    #[target_feature(enable = "avx2,fma")]
    #[inline]
    fn total(sum: __m256) -> f32 {
        let four = _mm_add_ps(_mm256_castps256_ps128(sum), _mm256_extractf128_ps::<1>(sum));
        let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
        _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn equal_single_dot_products(
            dimensions in 1..40_usize,
            values in prop::collection::vec(-8..8_i8, 0..900),
            split in 0..30_usize,
        ) {
            // Small integers: every order of additions gives the same sum.
            let values: Vec<f32> = values.into_iter().map(f32::from).collect();
            let whole = values.len() / dimensions;
            let (queries, rows) = values.split_at(split.min(whole) * dimensions);
            let single: Vec<&[f32]> = queries.chunks(dimensions).collect();
            let expected: Vec<f32> = single
                .iter()
                .flat_map(|query| rows.chunks_exact(dimensions).map(|row| dot_f32(query, row)))
                .collect();
            let queries = Queries::new(&single, dimensions);
            let mut products = vec![f32::NAN; 7];
            prop_assert_eq!(queries.products(rows, &mut products), rows.len() / dimensions);
            prop_assert_eq!(&products[..expected.len()], &expected);
            queries.products_by(rows, &mut products, portable_tile);
            prop_assert_eq!(&products[..expected.len()], &expected);
        }
    }

    #[test]
    fn nothing_makes_nothing() {
        let mut products = Vec::new();
        assert_eq!(Queries::new(&[], 2).products(&[1.0; 4], &mut products), 2);
        assert_eq!(Queries::new(&[&[1.0, 2.0]], 2).products(&[], &mut products), 0);
        assert_eq!(Queries::new(&[&[]], 0).products(&[], &mut products), 0);
        assert!(products.is_empty());
    }
}
