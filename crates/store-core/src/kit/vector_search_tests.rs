use super::*;
use crate::ErrorKind;
use crate::kit::vector_table::VectorTable;
use proptest::prelude::*;

const METRICS: [Metric; 3] = [Metric::Cosine, Metric::Dot, Metric::Euclidean];

fn table(rows: &[Vec<f32>], dimensions: usize) -> VectorTable {
    let mut table = VectorTable::new(dimensions);
    for row in rows {
        table.insert(row).unwrap();
    }
    table
}

/// Ids run against row numbers, so that an order by row would show.
fn by_id(a: u32, b: u32) -> Ordering {
    b.cmp(&a)
}

fn naive(
    rows: &[Vec<f32>],
    query: &[f32],
    search: &Search<'_>,
    keep: impl Fn(u32) -> bool,
) -> Vec<ScoredRow> {
    let mut found: Vec<ScoredRow> = (0..)
        .zip(rows)
        .filter(|(row, _)| keep(*row))
        .map(|(row, vector)| ScoredRow { row, score: search.metric.score(query, vector) })
        .filter(|found| search.min_score.is_none_or(|least| found.score >= rounded(least)))
        .collect();
    found.sort_by(|a, b| b.score.partial_cmp(&a.score).unwrap().then(by_id(a.row, b.row)));
    found.truncate(search.k);
    found
}

/// Small integers, so that ties are common, and a few scales, so that some rows are huge or next to nothing.
fn vector(dimensions: usize) -> impl Strategy<Value = Vec<f32>> {
    let scale =
        prop_oneof![6 => Just(0.1_f32), 2 => Just(1.0), 1 => Just(3e37), 1 => Just(1e-40), 1 => Just(0.0)];
    (prop::collection::vec(-2..3_i8, dimensions), scale)
        .prop_map(|(values, scale)| values.into_iter().map(|value| f32::from(value) * scale).collect())
}

proptest! {
    #[test]
    fn equals_the_naive_search_alone_batched_and_listed(
        (rows, queries) in (1..20_usize).prop_flat_map(|dimensions| (
            prop::collection::vec(vector(dimensions), 0..150),
            prop::collection::vec(vector(dimensions), 1..7),
        )),
        k in prop_oneof![0..20_usize, Just(usize::MAX)],
        min_score in prop_oneof![3 => Just(None), 2 => (-1.0..1.5_f64).prop_map(Some)],
        kept in prop::collection::hash_set(0..160_u32, 0..120),
    ) {
        let snapshot = table(&rows, queries[0].len()).snapshot();
        let listed: Vec<u32> = kept.iter().copied().collect();
        let keep = |row: u32| kept.contains(&row);
        for metric in METRICS {
            let queries: Vec<&[f32]> =
                queries.iter().map(Vec::as_slice).filter(|query| metric.check(query, query.len()).is_ok()).collect();
            let search = Search::new(metric, k).with_min_score(min_score);
            for search in [search, search.with_rows(Rows::Listed(&listed)), search.with_rows(Rows::Where(&keep))] {
                let all = matches!(search.rows, Rows::All);
                let expected: Vec<_> =
                    queries.iter().map(|query| naive(&rows, query, &search, |row| all || keep(row))).collect();
                let alone: Vec<_> =
                    queries.iter().map(|query| snapshot.search(query, &search, by_id).unwrap()).collect();
                prop_assert_eq!(&alone, &expected);
                prop_assert_eq!(snapshot.search_batch(&queries, &search, by_id).unwrap(), expected);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn random_directions_agree_too(seed in any::<u64>()) {
        // Dense values over several blocks: near scores without exact ties.
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            f32::from(i16::from_ne_bytes([state.to_be_bytes()[0], state.to_be_bytes()[1]])) / 32768.0
        };
        let rows: Vec<Vec<f32>> = (0..2500).map(|_| (0..33).map(|_| 5.0 + next()).collect()).collect();
        let queries: Vec<Vec<f32>> = (0..5).map(|_| (0..33).map(|_| 5.0 + next()).collect()).collect();
        let queries: Vec<&[f32]> = queries.iter().map(Vec::as_slice).collect();
        let snapshot = table(&rows, 33).snapshot();
        for metric in METRICS {
            let search = Search::new(metric, 10);
            let expected: Vec<_> = queries.iter().map(|query| naive(&rows, query, &search, |_| true)).collect();
            prop_assert_eq!(snapshot.search_batch(&queries, &search, by_id).unwrap(), &expected[..]);
            prop_assert_eq!(&snapshot.search(queries[0], &search, by_id).unwrap(), &expected[0]);
        }
    }
}

#[test]
fn ties_at_the_cut_go_by_id() {
    let rows = vec![vec![1.0, 2.0]; 3000];
    let snapshot = table(&rows, 2).snapshot();
    for metric in METRICS {
        let found = snapshot.search(&[1.0, 2.0], &Search::new(metric, 3), by_id).unwrap();
        assert_eq!(found.iter().map(|found| found.row).collect::<Vec<_>>(), [2999, 2998, 2997]);
    }
}

#[test]
fn a_radius_finds_everything_within() {
    let rows: Vec<Vec<f32>> = (0..2000_i16).map(|at| vec![f32::from(at), 0.0]).collect();
    let snapshot = table(&rows, 2).snapshot();
    let search = Search::within(Metric::Euclidean, 1.0 / 11.0);
    let found = snapshot.search(&[50.0, 0.0], &search, |a, b| a.cmp(&b)).unwrap();
    assert_eq!(found.len(), 21);
    assert_eq!((found[0].row, found[1].row, found[2].row), (50, 49, 51));
    // 0.7 as f32 is below 0.7: the least score is compared at the scores' own precision.
    let snapshot = table(&[vec![0.7]], 1).snapshot();
    assert_eq!(snapshot.search(&[1.0], &Search::within(Metric::Dot, 0.7), by_id).unwrap().len(), 1);
}

#[test]
fn a_costly_filter_is_asked_seldom() {
    let rows: Vec<Vec<f32>> = (0..5000_i16).map(|at| vec![f32::from(at) * 0.01, 1.0]).collect();
    let snapshot = table(&rows, 2).snapshot();
    let asked = std::cell::Cell::new(0);
    let keep = |row: u32| {
        asked.set(asked.get() + 1);
        row.is_multiple_of(2)
    };
    let search = Search::new(Metric::Dot, 2).with_rows(Rows::Where(&keep));
    let found = snapshot.search(&[-1.0, 0.0], &search, by_id).unwrap();
    assert_eq!(found.iter().map(|found| found.row).collect::<Vec<_>>(), [0, 2]);
    assert!(asked.get() < 200, "{}", asked.get());
}

#[test]
fn mmr_weighs_every_row_admitted() {
    let rows = vec![vec![1.0, 0.0], vec![0.9, 0.1], vec![0.0, 1.0], vec![-1.0, 0.0]];
    let snapshot = table(&rows, 2).snapshot();
    let query = [1.0, 0.2];
    let chosen = |search: Search<'_>| -> Vec<u32> {
        snapshot.search_mmr(&query, &search, 0.5, by_id).unwrap().iter().map(|found| found.row).collect()
    };
    let search = Search::new(Metric::Cosine, 4);
    assert_eq!(chosen(search), [1, 2, 0, 3]);
    assert_eq!(chosen(search.with_rows(Rows::Listed(&[0, 3, 9]))), [0, 3]);
    assert_eq!(chosen(search.with_rows(Rows::Where(&|row| row != 1))), [0, 2, 3]);
    assert_eq!(chosen(search.with_min_score(Some(0.0))), [1, 2, 0]);
}

#[test]
fn bad_queries_are_refused() {
    let snapshot = table(&[vec![1.0, 0.0]], 2).snapshot();
    let search = Search::new(Metric::Cosine, 1);
    let good: &[f32] = &[1.0, 0.0];
    for query in [&[1.0][..], &[0.0, 0.0], &[f32::NAN, 0.0], &[f32::INFINITY, 0.0]] {
        let kinds = [
            snapshot.search(query, &search, by_id).unwrap_err().kind(),
            snapshot.search_batch(&[good, good, good, query], &search, by_id).unwrap_err().kind(),
            snapshot.search_mmr(query, &search, 0.5, by_id).unwrap_err().kind(),
        ];
        assert_eq!(kinds, [ErrorKind::InvalidInput; 3]);
    }
}

#[test]
fn removed_rows_are_not_found_and_snapshots_stay() {
    let mut table = table(&[vec![1.0, 0.0], vec![0.0, 1.0], vec![1.0, 1.0]], 2);
    let before = table.snapshot();
    assert!(table.remove(0));
    table.set(1, &[1.0, 0.1]).unwrap();
    let search = Search::new(Metric::Cosine, 9);
    let rows = |snapshot: &VectorSnapshot| -> Vec<u32> {
        snapshot.search(&[1.0, 0.0], &search, by_id).unwrap().iter().map(|found| found.row).collect()
    };
    assert_eq!(rows(&before), [0, 2, 1]);
    assert_eq!(rows(&table.snapshot()), [1, 2]);
    let batch = table.snapshot().search_batch(&[&[1.0, 0.0][..]; 4], &search, by_id).unwrap();
    assert!(batch.iter().all(|found| found.iter().map(|f| f.row).eq([1, 2])));
}
