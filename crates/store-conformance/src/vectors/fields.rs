//! Questions about metadata fields.

use serde_json::{Value, json};
use store_core::{DistinctOptions, FieldKind, Selector, VectorFields, VectorStore};

use super::{configure, put, vector};
use crate::case::{Need, cases};
use crate::check::{CaseResult, Failure, holds, same, same_items};
use crate::data::filter;

cases! { "vectors", Vectors:
    fields_distinct_by_type_and_value [Need::Fields],
    fields_distinct_is_sorted [Need::Fields],
    fields_distinct_searches_text_forms [Need::Fields],
    fields_distinct_pages [Need::Fields],
    fields_paths_reach_into_objects [Need::Fields],
    fields_keep_to_the_selector [Need::Fields],
    fields_count_distinct_in_the_order_of_keys [Need::Fields],
    fields_min_max_of_numbers_or_texts [Need::Fields],
    fields_info_names_the_types [Need::Fields],
    fields_of_an_empty_store [Need::Fields],
}

fn fields(store: &dyn VectorStore) -> CaseResult<&dyn VectorFields> {
    store
        .fields()
        .ok_or_else(|| Failure::new("the capabilities offer field operations, fields() answers None"))
}

async fn fill(store: &dyn VectorStore, values: &[Value]) -> CaseResult {
    configure(store, 2).await?;
    let nodes = values.iter().enumerate().map(|(n, value)| {
        let node = vector(&format!("n{n:02}"), &[1.0, 0.5]).with_metadata("n", n);
        if value == &json!("missing") { node } else { node.with_metadata("v", value.clone()) }
    });
    put(store, nodes.collect()).await
}

async fn distinct(store: &dyn VectorStore, options: DistinctOptions) -> CaseResult<(Vec<Value>, usize)> {
    let found = fields(store)?.distinct("v", &Selector::all(), options).await?;
    Ok((found.values, found.total))
}

/// `1`, `1.0`, `"1"` and `true` are four values; the same value twice is one; null, missing, lists and objects
/// are none.
async fn fields_distinct_by_type_and_value(store: &dyn VectorStore) -> CaseResult {
    let values = [
        json!(1),
        json!(1.0),
        json!("1"),
        json!(true),
        json!(1),
        json!("1"),
        json!(null),
        json!("missing"),
        json!([1, 2]),
        json!({"x": 1}),
        json!("é"),
        json!("e\u{301}"),
        json!(""),
        json!(u64::MAX),
        json!(9_007_199_254_740_993_i64),
        json!(9_007_199_254_740_992.0),
    ];
    fill(store, &values).await?;
    let (found, total) = distinct(store, DistinctOptions::default()).await?;
    let expected = [
        json!(true),
        json!(1),
        json!(1.0),
        json!(9_007_199_254_740_992.0),
        json!(9_007_199_254_740_993_i64),
        json!(u64::MAX),
        json!(""),
        json!("1"),
        json!("e\u{301}"),
        json!("é"),
    ];
    same_items("values", &found, &expected)?;
    same("total", &total, &expected.len())
}

/// Bools come first, then numbers by value, then texts by code point. (Of equal numbers either may come first.)
async fn fields_distinct_is_sorted(store: &dyn VectorStore) -> CaseResult {
    let sorted = [
        json!(false),
        json!(true),
        json!(-1e300),
        json!(i64::MIN),
        json!(-2),
        json!(-1.5),
        json!(0),
        json!(2),
        json!(10),
        json!(10.5),
        json!(1e300),
        json!(""),
        json!("10"),
        json!("2"),
        json!("B"),
        json!("a"),
        json!("á"),
        json!("😀"),
    ];
    let mut shuffled = sorted.to_vec();
    shuffled.rotate_left(7);
    shuffled.reverse();
    fill(store, &shuffled).await?;
    same("values", &distinct(store, DistinctOptions::default()).await?.0, &sorted)
}

/// A search keeps the values whose text form holds it, ignoring case; `total` counts those.
async fn fields_distinct_searches_text_forms(store: &dyn VectorStore) -> CaseResult {
    fill(
        store,
        &[
            json!("Straße 12"),
            json!("STRASSE"),
            json!(12),
            json!(1.25),
            json!(true),
            json!("ÉTÉ"),
            json!("a%b"),
            json!(-12),
        ],
    )
    .await?;
    for (search, expected) in [
        ("12", json!([-12, 12, "Straße 12"])),
        ("stra", json!(["STRASSE", "Straße 12"])),
        ("été", json!(["ÉTÉ"])),
        ("RUE", json!([true])),
        (".25", json!([1.25])),
        ("%", json!(["a%b"])),
        ("_", json!([])),
        ("nobody", json!([])),
    ] {
        let (found, total) = distinct(store, DistinctOptions::default().with_search(search)).await?;
        same(format!("search {search:?}"), &Value::from(found.clone()), &expected)?;
        same(format!("total of {search:?}"), &total, &found.len())?;
    }
    Ok(())
}

/// Offset and limit page through the sorted values; `total` is before paging.
async fn fields_distinct_pages(store: &dyn VectorStore) -> CaseResult {
    let values: Vec<Value> = (0..25).map(|n| json!(n * 7 % 25)).collect();
    fill(store, &values).await?;
    for (offset, limit, expected) in
        [(0, 10, 0..10), (10, 10, 10..20), (20, 10, 20..25), (25, 10, 25..25), (99, 1, 25..25)]
    {
        let options = DistinctOptions::default().with_offset(offset).with_limit(limit);
        let (found, total) = distinct(store, options).await?;
        let expected: Vec<Value> = expected.map(Value::from).collect();
        same(format!("{limit} from {offset}"), &found, &expected)?;
        same(format!("total from {offset}"), &total, &25_usize)?;
    }
    let (found, _) = distinct(store, DistinctOptions::default().with_offset(22)).await?;
    same("from 22 on", &found, &[json!(22), json!(23), json!(24)])
}

/// Keys are paths in dot notation, as in filters.
async fn fields_paths_reach_into_objects(store: &dyn VectorStore) -> CaseResult {
    configure(store, 2).await?;
    let nodes = [
        json!({"b": {"c": 1}}),
        json!({"b": {"c": "x"}}),
        json!({"b": [{"c": 5}]}),
        json!({"b": 7}),
        json!(3),
    ];
    let nodes = nodes.into_iter().enumerate().map(|(n, value)| {
        vector(&format!("n{n}"), &[1.0, 0.0]).with_metadata("a", value).with_metadata("a.b.c", "literal")
    });
    put(store, nodes.collect()).await?;
    let all = Selector::all();
    let found = fields(store)?.distinct("a.b.c", &all, DistinctOptions::default()).await?;
    same("distinct", &found.values, &[json!(1), json!("x")])?;
    same(
        "count_distinct",
        &fields(store)?.count_distinct(&["a.b.c", "a.b", "a"], &all).await?,
        &[2_usize, 1, 1],
    )?;
    let bounds = fields(store)?.min_max("a.b", &all).await?;
    same("min_max", &bounds, &Some((json!(7), json!(7))))
}

/// Only selected nodes count.
async fn fields_keep_to_the_selector(store: &dyn VectorStore) -> CaseResult {
    fill(store, &(0..10).map(Value::from).collect::<Vec<_>>()).await?;
    let selector: Selector = filter(&json!({"key": "n", "operator": "between", "value": [3, 5]}))?.into();
    let found = fields(store)?.distinct("v", &selector, DistinctOptions::default()).await?;
    same("distinct", &found.values, &[json!(3), json!(4), json!(5)])?;
    same("total", &found.total, &3_usize)?;
    same("count_distinct", &fields(store)?.count_distinct(&["v"], &selector).await?, &[3_usize])?;
    let bounds = fields(store)?.min_max("v", &selector).await?;
    same("min_max", &bounds, &Some((json!(3), json!(5))))?;
    let none = Selector::ids(Vec::<String>::new());
    same("of nothing", &fields(store)?.min_max("v", &none).await?, &None::<(Value, Value)>)
}

/// One count for each key, in the order of the keys, a key asked for twice too.
async fn fields_count_distinct_in_the_order_of_keys(store: &dyn VectorStore) -> CaseResult {
    fill(store, &[json!(1), json!(1.0), json!("1"), json!(null), json!(1), json!("missing")]).await?;
    let counts = fields(store)?.count_distinct(&["v", "nobody", "n", "v"], &Selector::all()).await?;
    same("v, nobody, n, v", &counts, &[3_usize, 0, 6, 3])?;
    same("of no key", &fields(store)?.count_distinct(&[], &Selector::all()).await?, &[(); 0])
}

/// The least and the greatest, numbers before texts; bools, null and lists are neither.
async fn fields_min_max_of_numbers_or_texts(store: &dyn VectorStore) -> CaseResult {
    let bounds = async |values: &[Value]| {
        store.clear().await?;
        fill(store, values).await?;
        CaseResult::Ok(fields(store)?.min_max("v", &Selector::all()).await?)
    };
    configure(store, 2).await?;
    let numbers = [json!(3), json!(-1.5), json!(true), json!(null), json!([-9]), json!(i64::MAX)];
    same("numbers", &bounds(&numbers).await?, &Some((json!(-1.5), json!(i64::MAX))))?;
    same("texts", &bounds(&[json!("b"), json!("B"), json!("é")]).await?, &Some((json!("B"), json!("é"))))?;
    let exact = [json!(9_007_199_254_740_993_i64), json!(9_007_199_254_740_992.0)];
    let expected = Some((json!(9_007_199_254_740_992.0), json!(9_007_199_254_740_993_i64)));
    same("numbers beyond a float's reach", &bounds(&exact).await?, &expected)?;
    same("one value", &bounds(&[json!(2)]).await?, &Some((json!(2), json!(2))))?;
    same("neither", &bounds(&[json!(true), json!([1]), json!(null)]).await?, &None::<(Value, Value)>)
}

/// The type of each top-level field in use; a field that is only null is not in use.
async fn fields_info_names_the_types(store: &dyn VectorStore) -> CaseResult {
    configure(store, 2).await?;
    let mut first = vector("a", &[1.0, 0.0]);
    first.metadata = crate::data::object(json!({
        "text": "x", "integer": 1, "float": 1.0, "bool": true, "list": [], "object": {"in": 1}, "null": null, "numbers": 1,
        "mixed": 1, "a.b": "dotted",
    }));
    let mut second = vector("b", &[1.0, 0.0]);
    second.metadata = crate::data::object(json!({
        "text": null, "integer": u64::MAX, "float": -0.0, "numbers": 1.5, "mixed": "1", "list": [1], "only second": "x",
    }));
    put(store, vec![first, second]).await?;
    let expected = [
        ("text", FieldKind::Text),
        ("integer", FieldKind::Integer),
        ("float", FieldKind::Float),
        ("bool", FieldKind::Bool),
        ("list", FieldKind::List),
        ("object", FieldKind::Object),
        ("numbers", FieldKind::Mixed),
        ("mixed", FieldKind::Mixed),
        ("a.b", FieldKind::Text),
        ("only second", FieldKind::Text),
    ];
    let shown = |(key, kind): (String, FieldKind)| format!("{key}: {kind:?}");
    let found: Vec<String> = fields(store)?.field_info().await?.into_iter().map(shown).collect();
    let expected: Vec<String> =
        expected.into_iter().map(|(key, kind)| shown((key.to_owned(), kind))).collect();
    same_items("types", &found, &expected)
}

/// Nothing stored, nothing to tell.
async fn fields_of_an_empty_store(store: &dyn VectorStore) -> CaseResult {
    configure(store, 2).await?;
    let all = Selector::all();
    let found = fields(store)?.distinct("v", &all, DistinctOptions::default()).await?;
    same("distinct", &(found.values, found.total), &(Vec::<Value>::new(), 0_usize))?;
    same("count_distinct", &fields(store)?.count_distinct(&["v"], &all).await?, &[0_usize])?;
    holds(fields(store)?.min_max("v", &all).await?.is_none(), "min_max of nothing")?;
    holds(fields(store)?.field_info().await?.is_empty(), "field_info of nothing")
}
