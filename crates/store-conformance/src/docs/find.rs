//! Finding nodes by metadata: filter, sort, projection, paging.

use serde_json::{Value, json};
use store_core::{AddOptions, Cursor, DocQuery, DocStore, Filter, JsonObject, Node, Order};

use crate::case::cases;
use crate::check::{CaseResult, Failure, holds, invalid, same, same_items};
use crate::data::{filter, object};
use crate::nodes::{node, plain};

cases! { "docs", Docs:
    find_gives_every_node_whole,
    find_filters_by_metadata,
    count_counts_what_matches,
    find_sorts_by_type_then_value,
    find_sorts_by_several_keys,
    find_breaks_ties_by_id,
    find_sorts_by_nested_keys,
    find_projects_members,
    find_projects_metadata_paths,
    find_pages_give_each_once,
    find_pages_keep_the_sort,
    find_pages_hold_limit_items,
    find_pages_while_others_write,
    find_sorted_page_of_many,
    find_refuses_what_it_can_not_do,
}

fn id(found: &JsonObject) -> String {
    found.get("__data__").and_then(|data| data.get("id_")).and_then(Value::as_str).unwrap_or("?").to_owned()
}

fn ids(found: &[JsonObject]) -> Vec<String> {
    found.iter().map(id).collect()
}

async fn add(store: &dyn DocStore, nodes: Vec<Node>) -> CaseResult {
    store.add(nodes, AddOptions::default()).await?;
    Ok(())
}

/// All pages of a query, with the size of each.
async fn pages(store: &dyn DocStore, query: DocQuery) -> CaseResult<(Vec<JsonObject>, Vec<usize>)> {
    let (mut items, mut sizes, mut query) = (Vec::new(), Vec::new(), query);
    loop {
        let page = store.find(&query).await?;
        sizes.push(page.items.len());
        items.extend(page.items);
        let Some(next) = page.next else { return Ok((items, sizes)) };
        query = query.with_after(next);
        holds(sizes.len() < 2_000, "the pages have no end")?;
    }
}

/// Without any restriction a find gives every node in its JSON, in an order that stays.
async fn find_gives_every_node_whole(store: &dyn DocStore) -> CaseResult {
    same("none yet", &store.find(&DocQuery::new()).await?.items, &[(); 0])?;
    let nodes: Vec<Node> = (0..60).map(|n| plain(&format!("n{}", n * 7 % 60), n)).collect();
    add(store, nodes.clone()).await?;
    let page = store.find(&DocQuery::new()).await?;
    let expected: Vec<JsonObject> = nodes.iter().map(Node::to_json).collect();
    same_items("60 nodes", &page.items, &expected)?;
    holds(page.next.is_none(), "a find without limit has a next page")?;
    same("again", &store.find(&DocQuery::new()).await?.items, &page.items)
}

/// The filter sees the metadata, nested too, and nothing else of the node.
async fn find_filters_by_metadata(store: &dyn DocStore) -> CaseResult {
    let nodes =
        (0..30).map(|n| plain(&format!("n{n:02}"), n).with_metadata("in", json!({"even": n % 2 == 0})));
    add(store, nodes.collect()).await?;
    let both = json!({"filters": [
        {"key": "n", "operator": ">=", "value": 10},
        {"key": "n", "operator": "<", "value": 16.0},
        {"key": "in.even", "value": true},
    ]});
    let found = store.find(&DocQuery::new().with_filter(filter(&both)?)).await?;
    same_items("10 to 15, even", &ids(&found.items), &["n10", "n12", "n14"])?;
    for nothing in [json!({"key": "id_", "value": "n01"}), json!({"key": "metadata.n", "value": 1})] {
        let found = store.find(&DocQuery::new().with_filter(filter(&nothing)?)).await?;
        same(format!("{nothing} sees only metadata"), &ids(&found.items), &[(); 0])?;
    }
    Ok(())
}

/// A count is of all nodes, or of those that the filter matches: as many as a find gives.
async fn count_counts_what_matches(store: &dyn DocStore) -> CaseResult {
    same("none yet", &store.count(None).await?, &0_usize)?;
    let nodes = (0..30).map(|n| {
        let word = if n % 3 == 0 { "ΟΔΟΣ" } else { "other" };
        plain(&format!("n{n:02}"), n).with_metadata("in", json!({"even": n % 2 == 0, "word": word}))
    });
    add(store, nodes.collect()).await?;
    store.add(vec![plain("hash", 1)], AddOptions::default().with_store_text(false)).await?;
    same("all", &store.count(None).await?, &30_usize)?;
    let filters = [
        (json!({"key": "n", "operator": "<", "value": 16.0}), 16_usize),
        (json!({"key": "in.even", "value": true}), 15),
        (json!({"key": "in.even", "operator": "!=", "value": true}), 15),
        (json!({"key": "in.word", "operator": "text_match_insensitive", "value": "οδος"}), 10),
        (json!({"key": "id_", "value": "n01"}), 0),
    ];
    for (json, count) in filters {
        let filter = filter(&json)?;
        same(json.to_string(), &store.count(Some(&filter)).await?, &count)?;
        let found = store.find(&DocQuery::new().with_filter(filter)).await?;
        same(format!("found by {json}"), &found.items.len(), &count)?;
    }
    let impossible = Filter::Field { key: "a..b".into(), condition: store_core::Condition::IsEmpty };
    invalid("an empty part in a key", store.count(Some(&impossible)).await)?;
    Ok(())
}

/// A missing value is the smallest, then bools, numbers by exact value, texts by code point.
async fn find_sorts_by_type_then_value(store: &dyn DocStore) -> CaseResult {
    let values = [
        ("a missing", None),
        ("b null", Some(Value::Null)),
        ("c false", Some(json!(false))),
        ("d true", Some(json!(true))),
        ("e", Some(json!(-1e300))),
        ("f", Some(json!(i64::MIN))),
        ("g", Some(json!(-1))),
        ("h", Some(json!(0.5))),
        ("i", Some(json!(1))),
        ("j", Some(json!(9_007_199_254_740_992_i64))),
        ("k", Some(json!(9_007_199_254_740_993_i64))),
        ("l", Some(json!(u64::MAX))),
        ("m", Some(json!(1e300))),
        ("n", Some(json!(""))),
        ("o", Some(json!("1"))),
        ("p", Some(json!("B"))),
        ("q", Some(json!("a"))),
        ("r", Some(json!("á"))),
        ("s", Some(json!("\u{ffff}"))),
        ("t", Some(json!("😀"))),
    ];
    let nodes: Vec<Node> = values
        .iter()
        .map(|(id, value)| match value {
            Some(value) => Node::text("t").with_id(*id).with_metadata("v", value.clone()),
            None => Node::text("t").with_id(*id),
        })
        .collect();
    add(store, nodes.into_iter().rev().collect()).await?;
    let mut expected: Vec<&str> = values.iter().map(|(id, _)| *id).collect();
    let found = store.find(&DocQuery::new().with_sort("v", Order::Ascending)).await?;
    same("ascending", &ids(&found.items), &expected)?;
    expected.reverse();
    // The first two are equal, and ties go by id either way.
    let end = expected.len().saturating_sub(2);
    if let Some(tied) = expected.get_mut(end..) {
        tied.reverse();
    }
    let found = store.find(&DocQuery::new().with_sort("v", Order::Descending)).await?;
    same("descending", &ids(&found.items), &expected)
}

/// The second key decides where the first is equal, each in its own direction.
async fn find_sorts_by_several_keys(store: &dyn DocStore) -> CaseResult {
    let nodes = (0..12).map(|n| plain(&format!("n{n:02}"), n).with_metadata("group", n * 5 % 3));
    add(store, nodes.collect()).await?;
    let mut expected: Vec<(usize, usize)> = (0..12).map(|n| (n * 5 % 3, n)).collect();
    expected.sort_by(|left, right| left.0.cmp(&right.0).then(right.1.cmp(&left.1)));
    let expected: Vec<String> = expected.into_iter().map(|(_, n)| format!("n{n:02}")).collect();
    let query = DocQuery::new().with_sort("group", Order::Ascending).with_sort("n", Order::Descending);
    same("by group, then n descending", &ids(&store.find(&query).await?.items), &expected)
}

/// Equal values come by id ascending, in both directions; `1` and `1.0` are equal.
async fn find_breaks_ties_by_id(store: &dyn DocStore) -> CaseResult {
    let order = ["A", "B", "a", "aa", "b", "é", "\u{ffff}", "😀"];
    let nodes = order.iter().rev().enumerate().map(|(n, id)| {
        let one = if n % 2 == 0 { json!(1) } else { json!(1.0) };
        Node::text("t").with_id(*id).with_metadata("v", one)
    });
    add(store, nodes.collect()).await?;
    for direction in [Order::Ascending, Order::Descending] {
        let found = store.find(&DocQuery::new().with_sort("v", direction)).await?;
        same(format!("{direction:?}"), &ids(&found.items), &order)?;
    }
    Ok(())
}

/// Sort keys are paths in dot notation.
async fn find_sorts_by_nested_keys(store: &dyn DocStore) -> CaseResult {
    let nodes = (0..9).map(|n| {
        plain(&format!("n{n}"), n)
            .with_metadata("a", json!({"b": {"c": n * 4 % 9}}))
            .with_metadata("a.b.c", 0)
    });
    add(store, nodes.collect()).await?;
    let mut expected: Vec<usize> = (0..9).collect();
    expected.sort_by_key(|n| n * 4 % 9);
    let expected: Vec<String> = expected.into_iter().map(|n| format!("n{n}")).collect();
    let query = DocQuery::new().with_sort("a.b.c", Order::Ascending);
    same("by a.b.c", &ids(&store.find(&query).await?.items), &expected)
}

fn rich() -> CaseResult<Node> {
    node(json!({
        "__data__": {
            "id_": "a", "embedding": [0.5], "metadata": {"z": 1.0, "a": {"y": 1, "b": {"q": 2, "p": 3}, "x": 4}, "n": null},
            "excluded_embed_metadata_keys": ["z"], "excluded_llm_metadata_keys": [], "relationships": {},
            "metadata_template": "{key}: {value}", "metadata_separator": "\n", "text": "hello",
            "mimetype": "text/plain", "start_char_idx": 1, "end_char_idx": null,
            "text_template": "{metadata_str}\n\n{content}", "class_name": "TextNode",
        },
        "__type__": "1",
    }))
}

async fn projected(store: &dyn DocStore, members: &[&str]) -> CaseResult<JsonObject> {
    let page = store.find(&DocQuery::new().with_projection(members.iter().copied())).await?;
    page.items.into_iter().next().ok_or_else(|| Failure::new("nothing was found"))
}

/// A projection keeps the members it names, in the node's order; `id_` and `class_name` always stay, and
/// `__type__` beside them.
async fn find_projects_members(store: &dyn DocStore) -> CaseResult {
    add(store, vec![rich()?]).await?;
    let shape = |data: Value| object(json!({"__data__": data, "__type__": "1"}));
    let found = projected(store, &["text", "embedding"]).await?;
    let expected = json!({"id_": "a", "embedding": [0.5], "text": "hello", "class_name": "TextNode"});
    same("text and embedding", &found, &shape(expected))?;
    let expected = json!({"id_": "a", "class_name": "TextNode"});
    same("no member", &projected(store, &[]).await?, &shape(expected.clone()))?;
    same("an unknown member", &projected(store, &["nobody", "id_"]).await?, &shape(expected))?;
    let found = projected(store, &["end_char_idx", "metadata"]).await?;
    let metadata = rich()?.metadata;
    let expected = json!({"id_": "a", "metadata": metadata, "end_char_idx": null, "class_name": "TextNode"});
    same("all metadata", &found, &shape(expected))
}

/// A path below `metadata` keeps only that part.
async fn find_projects_metadata_paths(store: &dyn DocStore) -> CaseResult {
    add(store, vec![rich()?]).await?;
    let metadata = |found: JsonObject| found.get("__data__").and_then(|data| data.get("metadata")).cloned();
    let found = projected(store, &["metadata.a.x", "metadata.z", "metadata.a.b.p"]).await?;
    let expected = json!({"z": 1.0, "a": {"b": {"p": 3}, "x": 4}});
    same("three paths", &metadata(found), &Some(expected))?;
    let found = projected(store, &["metadata.a.b", "metadata.n"]).await?;
    same("an object and a null", &metadata(found), &Some(json!({"a": {"b": {"q": 2, "p": 3}}, "n": null})))
}

/// The pages of a query together are the query without a limit.
async fn find_pages_give_each_once(store: &dyn DocStore) -> CaseResult {
    add(store, (0..100).map(|n| plain(&format!("n{}", n * 7 % 100), n)).collect()).await?;
    let whole = ids(&store.find(&DocQuery::new()).await?.items);
    for limit in [1, 7, 50, 99, 100, 101] {
        let (found, _) = pages(store, DocQuery::new().with_limit(limit)).await?;
        same(format!("pages of {limit}"), &ids(&found), &whole)?;
    }
    let query = || -> CaseResult<DocQuery> {
        Ok(DocQuery::new().with_filter(filter(&json!({"key": "n", "operator": "<", "value": 50}))?))
    };
    let whole = ids(&store.find(&query()?).await?.items);
    same("matching", &whole.len(), &50_usize)?;
    let (found, _) = pages(store, query()?.with_limit(9)).await?;
    same("pages of 9 with a filter", &ids(&found), &whole)
}

/// So with a sort, ties across the edge of a page included.
async fn find_pages_keep_the_sort(store: &dyn DocStore) -> CaseResult {
    let nodes = (0..80).map(|n| {
        let node = plain(&format!("n{n:02}"), n).with_metadata("group", n * 11 % 4);
        if n % 9 == 0 { node } else { node.with_metadata("sometimes", n % 5) }
    });
    add(store, nodes.collect()).await?;
    let sorted = DocQuery::new()
        .with_sort("group", Order::Descending)
        .with_sort("sometimes", Order::Ascending)
        .with_projection(["text"]);
    let whole = store.find(&sorted).await?.items;
    for limit in [1, 6, 20, 80] {
        let (found, _) = pages(store, sorted.clone().with_limit(limit)).await?;
        same(format!("pages of {limit}"), &found, &whole)?;
    }
    Ok(())
}

/// A page holds `limit` items unless the end is reached, also behind a filter.
async fn find_pages_hold_limit_items(store: &dyn DocStore) -> CaseResult {
    add(store, (0..97).map(|n| plain(&format!("n{n}"), n)).collect()).await?;
    let rare =
        filter(&json!({"key": "n", "operator": "in", "value": (0..97).step_by(4).collect::<Vec<_>>()}))?;
    let sorted = DocQuery::new().with_filter(rare.clone()).with_sort("n", Order::Descending);
    for query in [DocQuery::new(), DocQuery::new().with_filter(rare), sorted] {
        let (found, sizes) = pages(store, query.with_limit(10)).await?;
        let full = sizes.iter().take(found.len() / 10).all(|size| *size == 10);
        holds(full, format!("pages of 10 hold {sizes:?}"))?;
    }
    Ok(())
}

/// What is there all the time comes exactly once while other nodes come and go, sorted and not.
async fn find_pages_while_others_write(store: &dyn DocStore) -> CaseResult {
    let steady: Vec<Node> = (0..60).map(|n| plain(&format!("n{n:02}"), n)).collect();
    add(store, steady.clone()).await?;
    let expected: Vec<String> = steady.iter().map(|node| node.id.as_str().to_owned()).collect();
    for base in [DocQuery::new(), DocQuery::new().with_sort("n", Order::Descending)] {
        let (mut query, mut seen) = (base.with_limit(7), Vec::new());
        for round in 0.. {
            let page = store.find(&query).await?;
            seen.extend(ids(&page.items));
            let Some(next) = page.next else { break };
            query = query.with_after(next);
            holds(round < 1_000, "the pages have no end")?;
            add(
                store,
                vec![plain(&format!("n{round:02}x"), round * 9 % 60), plain(&format!("z{round}"), 30)],
            )
            .await?;
            store.delete_many(&[format!("n{:02}x", round / 2).into()]).await?;
        }
        seen.retain(|id| expected.contains(id));
        same_items("the steady nodes", &seen, &expected)?;
    }
    Ok(())
}

/// The best of many: a sorted page over 3,000 nodes.
async fn find_sorted_page_of_many(store: &dyn DocStore) -> CaseResult {
    let nodes = (0..3_000).map(|n| plain(&format!("n{n:04}"), n * 7 % 3_000));
    add(store, nodes.collect()).await?;
    let query = DocQuery::new().with_sort("n", Order::Descending).with_limit(5);
    let found = store.find(&query).await?.items;
    let expected: Vec<String> = (2_995..3_000)
        .rev()
        .filter_map(|best| (0..3_000).find(|n| n * 7 % 3_000 == best))
        .map(|n| format!("n{n:04}"))
        .collect();
    same("the five greatest", &ids(&found), &expected)
}

/// A limit of zero, a broken cursor and a filter that can not be answered are `InvalidInput`.
async fn find_refuses_what_it_can_not_do(store: &dyn DocStore) -> CaseResult {
    add(store, (0..5).map(|n| plain(&format!("n{n}"), n)).collect()).await?;
    invalid("limit 0", store.find(&DocQuery::new().with_limit(0)).await)?;
    for text in ["", "no cursor of ours", "{\"\u{0}\":[", "é"] {
        let query = DocQuery::new().with_limit(2).with_after(Cursor::new(text));
        invalid(format!("cursor {text:?}"), store.find(&query).await)?;
    }
    let impossible =
        Filter::Field { key: "a..b".into(), condition: store_core::Condition::Eq(store_core::Scalar::Null) };
    invalid("an empty part in a key", store.find(&DocQuery::new().with_filter(impossible)).await)?;
    // A cursor belongs to its query.
    let sorted = DocQuery::new().with_sort("n", Order::Ascending).with_limit(2);
    if let Some(cursor) = store.find(&sorted).await?.next {
        let other = DocQuery::new().with_sort("n", Order::Descending).with_limit(2).with_after(cursor);
        invalid("another query's cursor", store.find(&other).await)?;
    }
    Ok(())
}
