//! The one call of unsafe code in this crate: a matrix product by `matrixmultiply`, behind checked lengths.
//!
//! A batch of queries is bound by arithmetic, not by memory: `matrixmultiply` chooses AVX2 or AVX-512 when the
//! program runs and is twice as fast there as a loop over single dot products (docs/performance.md).

/// Writes the dot product of every query with every row: `products[q * rows + r]`, sums in `f32`.
///
/// `queries` and `rows` hold whole vectors of `dimensions` one after the other. Returns how many rows there are;
/// with lengths that do not fit, nothing is written and the answer is 0.
#[allow(unsafe_code)] // matrixmultiply takes pointers; the lengths it reads and writes are checked right here.
pub(crate) fn dot_products(
    queries: &[f32],
    rows: &[f32],
    dimensions: usize,
    products: &mut Vec<f32>,
) -> usize {
    products.clear();
    if dimensions == 0 || !queries.len().is_multiple_of(dimensions) || !rows.len().is_multiple_of(dimensions)
    {
        return 0;
    }
    let (query_count, row_count) = (queries.len() / dimensions, rows.len() / dimensions);
    let (Some(length), Ok(stride), Ok(width)) =
        (query_count.checked_mul(row_count), isize::try_from(dimensions), isize::try_from(row_count))
    else {
        return 0;
    };
    products.resize(length, 0.0);
    // SAFETY: the left matrix has query_count × dimensions elements at `queries`, the right one dimensions ×
    // row_count at `rows` (read by columns, so its row stride is 1), and the result query_count × row_count at
    // `products`: exactly the lengths of the three slices, by the divisions and the resize above. `products` is
    // borrowed mutably, so it overlaps neither input. With beta 0 the result is written without being read.
    unsafe {
        matrixmultiply::sgemm(
            query_count,
            dimensions,
            row_count,
            1.0,
            queries.as_ptr(),
            stride,
            1,
            rows.as_ptr(),
            1,
            stride,
            0.0,
            products.as_mut_ptr(),
            width,
            1,
        );
    }
    row_count
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn equals_single_dot_products(
            dimensions in 1..40_usize,
            values in prop::collection::vec(-8..8_i8, 0..900),
            split in 0..900_usize,
        ) {
            let values: Vec<f32> = values.into_iter().map(f32::from).collect();
            let whole = values.len() / dimensions;
            let (queries, rest) = values.split_at(split.min(whole) * dimensions);
            let rows = &rest[..rest.len() / dimensions * dimensions];
            let mut products = vec![f32::NAN; 7];
            prop_assert_eq!(dot_products(queries, rows, dimensions, &mut products), rows.len() / dimensions);
            let expected: Vec<f32> = queries
                .chunks(dimensions)
                .flat_map(|query| rows.chunks(dimensions).map(|row| crate::similarity::dot_f32(query, row)))
                .collect();
            prop_assert_eq!(products, expected);
        }
    }

    #[test]
    fn lengths_that_do_not_fit_write_nothing() {
        let mut products = Vec::new();
        assert_eq!(dot_products(&[1.0; 5], &[1.0; 4], 2, &mut products), 0);
        assert_eq!(dot_products(&[1.0; 4], &[1.0; 5], 2, &mut products), 0);
        assert_eq!(dot_products(&[], &[], 0, &mut products), 0);
        assert!(products.is_empty());
    }
}
