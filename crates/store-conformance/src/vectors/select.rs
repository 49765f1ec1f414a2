//! Selectors, and reading what they select.

use serde_json::{Value, json};
use store_core::{
    Cursor, Filter, GetOptions, Metric, Node, QueryKind, QueryKindName, RefDocId, Selector, VectorQuery,
    VectorStore,
};

use super::{cloud, configure, is_ranking, put, query_ids, score, vector};
use crate::case::{Need, cases};
use crate::check::{CaseResult, holds, invalid, same, same_items};
use crate::data::{Random, filter};
use crate::nodes::ids_of;

cases! { "vectors", Vectors:
    empty_selector_means_everything,
    parts_of_a_selector_are_joined_by_and,
    empty_lists_select_nothing,
    unknown_ids_select_nothing,
    repeated_ids_count_once,
    nodes_without_source_have_no_ref_doc,
    filter_comes_before_top_k [Need::Query(QueryKindName::Dense)],
    ids_and_ref_docs_come_before_top_k [Need::Query(QueryKindName::Dense)],
    filter_comes_before_top_k_of_text [Need::Query(QueryKindName::Text)],
    filter_comes_before_top_k_of_hybrid [Need::Query(QueryKindName::Hybrid)],
    filter_comes_before_top_k_of_mmr [Need::Query(QueryKindName::Mmr)],
    filter_comes_before_top_k_of_range [Need::Query(QueryKindName::Range)],
    get_pages_give_each_once,
    get_pages_hold_limit_items,
    get_pages_while_others_write,
    get_refuses_bad_options,
    explain_tells_the_parts_of_the_filter,
}

async fn select(store: &dyn VectorStore, selector: &Selector) -> CaseResult<Vec<String>> {
    let page = store.get(selector, GetOptions::default()).await?;
    holds(page.next.is_none(), "a get without limit has a next page")?;
    Ok(ids_of(&page.items))
}

/// Reading, a selector without parts means everything.
async fn empty_selector_means_everything(store: &dyn VectorStore) -> CaseResult {
    let metric = configure(store, 3).await?;
    let nodes = cloud(71, 30, 3);
    put(store, nodes.clone()).await?;
    for selector in [Selector::all(), Filter::All(vec![]).into()] {
        same("get", &select(store, &selector).await?.len(), &30_usize)?;
        same("count", &store.count(&selector).await?, &30_usize)?;
        let query = VectorQuery::dense(vec![1.0, 0.0, 0.0], 40).with_selector(selector);
        let found = store.query_many(&[query]).await?.into_iter().flatten().collect::<Vec<_>>();
        is_ranking("query", metric, &[1.0, 0.0, 0.0], &nodes, 40, &found)?;
    }
    Ok(())
}

/// Ids, source documents and filter, alone and together, in `get`, `count` and `query`.
async fn parts_of_a_selector_are_joined_by_and(store: &dyn VectorStore) -> CaseResult {
    let metric = configure(store, 3).await?;
    let nodes: Vec<Node> = cloud(72, 48, 3)
        .into_iter()
        .enumerate()
        .map(|(n, node)| if n % 4 == 3 { node } else { node.with_source(format!("doc {}", n % 4)) })
        .collect();
    put(store, nodes.clone()).await?;
    let ids: Vec<String> = (0..48).step_by(5).map(|n| format!("n{n:03}")).collect();
    let low = || filter(&json!({"key": "n", "operator": "<", "value": 30}));
    let ref_docs = ["doc 0", "doc 2", "nobody"];
    let selectors = [
        Selector::ids(ids.clone()),
        Selector::ref_docs(ref_docs),
        low()?.into(),
        Selector::ids(ids.clone()).with_ref_docs(ref_docs),
        Selector::ids(ids.clone()).with_filter(low()?),
        Selector::ref_docs(ref_docs).with_filter(low()?),
        Selector::ids(ids.clone()).with_ref_docs(ref_docs).with_filter(low()?),
    ];
    for selector in selectors {
        let selected: Vec<Node> = nodes
            .iter()
            .filter(|node| {
                let of = |sources: &Vec<RefDocId>| node.ref_doc_id().is_some_and(|id| sources.contains(&id));
                selector.ids.as_ref().is_none_or(|ids| ids.contains(&node.id))
                    && selector.ref_docs.as_ref().is_none_or(of)
                    && selector.filter.as_ref().is_none_or(|filter| filter.matches(&node.metadata))
            })
            .cloned()
            .collect();
        let what = format!("{selector:?}");
        same_items(&what, &select(store, &selector).await?, &ids_of(&selected))?;
        same(format!("count of {what}"), &store.count(&selector).await?, &selected.len())?;
        let query = VectorQuery::dense(vec![0.5, -1.0, 0.25], 4).with_selector(selector);
        let found = store.query_many(&[query]).await?.into_iter().flatten().collect::<Vec<_>>();
        is_ranking(&what, metric, &[0.5, -1.0, 0.25], &selected, 4, &found)?;
    }
    Ok(())
}

/// An empty list selects nothing, alone and beside other parts; that is no error, in `update` and `delete`
/// neither.
async fn empty_lists_select_nothing(store: &dyn VectorStore) -> CaseResult {
    configure(store, 3).await?;
    put(store, cloud(73, 10, 3)).await?;
    let (no_ids, no_docs): ([&str; 0], [&str; 0]) = ([], []);
    let selectors = [
        Selector::ids(no_ids),
        Selector::ref_docs(no_docs),
        Selector::ids(["n001"]).with_ref_docs(no_docs),
        Selector::ids(no_ids).with_filter(filter(&json!({"key": "n", "value": 1}))?),
        Filter::Any(vec![]).into(),
    ];
    for selector in selectors {
        let what = format!("{selector:?}");
        same(&what, &select(store, &selector).await?, &[(); 0])?;
        same(format!("count of {what}"), &store.count(&selector).await?, &0_usize)?;
        let query = VectorQuery::dense(vec![1.0, 0.0, 0.0], 5).with_selector(selector.clone());
        same(format!("query of {what}"), &query_ids(store, &query).await?, &[(); 0])?;
        let patch = store_core::MetadataPatch::new().with_set("x", 1);
        same(format!("update of {what}"), &store.update(&selector, &patch).await?, &0_usize)?;
        same(format!("delete of {what}"), &store.delete(&selector).await?, &0_usize)?;
    }
    same("nodes left", &store.count(&Selector::all()).await?, &10_usize)
}

/// Ids that nobody has select nothing, and do not disturb the others.
async fn unknown_ids_select_nothing(store: &dyn VectorStore) -> CaseResult {
    configure(store, 2).await?;
    put(
        store,
        vec![vector("a", &[1.0, 0.0]).with_source("doc"), vector("ab", &[1.0, 0.0]).with_source("docs")],
    )
    .await?;
    same("b", &select(store, &Selector::ids(["b"])).await?, &[(); 0])?;
    same("a beside b", &select(store, &Selector::ids(["b", "a", "A"])).await?, &["a"])?;
    same("do", &select(store, &Selector::ref_docs(["do", "DOC", "*"])).await?, &[(); 0])?;
    same("doc", &select(store, &Selector::ref_docs(["doc"])).await?, &["a"])
}

/// An id given twice is one node.
async fn repeated_ids_count_once(store: &dyn VectorStore) -> CaseResult {
    configure(store, 2).await?;
    put(store, vec![vector("a", &[1.0, 0.0]).with_source("doc"), vector("b", &[1.0, 0.0])]).await?;
    let twice = Selector::ids(["a", "b", "a", "a"]);
    same_items("get", &select(store, &twice).await?, &["a", "b"])?;
    same("count", &store.count(&twice).await?, &2_usize)?;
    same("ref docs", &select(store, &Selector::ref_docs(["doc", "doc"])).await?, &["a"])?;
    same("delete", &store.delete(&twice).await?, &2_usize)
}

/// No name of a source document selects nodes that have none (Python writes the text `None` for them).
async fn nodes_without_source_have_no_ref_doc(store: &dyn VectorStore) -> CaseResult {
    configure(store, 2).await?;
    put(store, vec![vector("orphan", &[1.0, 0.0]), vector("child", &[1.0, 0.0]).with_source("None")]).await?;
    same("None", &select(store, &Selector::ref_docs(["None"])).await?, &["child"])?;
    same("null", &select(store, &Selector::ref_docs(["null", "orphan"])).await?, &[(); 0])?;
    same("delete", &store.delete(&Selector::ref_docs(["None"])).await?, &1_usize)?;
    same("left", &select(store, &Selector::all()).await?, &["orphan"])
}

// 400 nodes, of which the 20 that match lie farthest from the query and hold its word least.
async fn far_matches(store: &dyn VectorStore) -> CaseResult<(Metric, Vec<Node>)> {
    let metric = configure(store, 3).await?;
    let mut random = Random(81);
    let nodes: Vec<Node> = (0..400)
        .map(|n| {
            let rare = n % 20 == 7;
            let side = if rare { -1.0 } else { 1.0 };
            let embedding = [side, random.component() / 2.0, random.component() / 2.0];
            let text =
                if rare { format!("quartz {}", "filler ".repeat(30)) } else { "quartz quartz".to_owned() };
            let node = Node::text(text).with_id(format!("n{n:03}")).with_embedding(embedding);
            let source = if rare { "rare".to_owned() } else { format!("doc {}", n % 7) };
            node.with_source(source).with_metadata("rare", rare)
        })
        .collect();
    put(store, nodes.clone()).await?;
    let rare = nodes.into_iter().filter(|node| node.metadata.get("rare") == Some(&json!(true))).collect();
    Ok((metric, rare))
}

fn rare() -> CaseResult<Selector> {
    Ok(filter(&json!({"key": "rare", "value": true}))?.into())
}

const AT: [f32; 3] = [1.0, 0.1, -0.2];

/// A filter chooses the nodes that take part, then `top_k` cuts: matches far from the query are all found.
async fn filter_comes_before_top_k(store: &dyn VectorStore) -> CaseResult {
    let (metric, matching) = far_matches(store).await?;
    for top_k in [1, 5, 20, 30] {
        let query = VectorQuery::dense(AT.to_vec(), top_k).with_selector(rare()?);
        let found = store.query_many(&[query]).await?.into_iter().flatten().collect::<Vec<_>>();
        is_ranking(&format!("top {top_k} of 20"), metric, &AT, &matching, top_k, &found)?;
    }
    Ok(())
}

/// So do ids and source documents.
async fn ids_and_ref_docs_come_before_top_k(store: &dyn VectorStore) -> CaseResult {
    let (metric, matching) = far_matches(store).await?;
    for selector in [Selector::ref_docs(["rare"]), Selector::ids(ids_of(&matching))] {
        let query = VectorQuery::dense(AT.to_vec(), 5).with_selector(selector);
        let found = store.query_many(&[query]).await?.into_iter().flatten().collect::<Vec<_>>();
        is_ranking("top 5 of 20", metric, &AT, &matching, 5, &found)?;
    }
    Ok(())
}

async fn finds_rare(store: &dyn VectorStore, query: VectorQuery) -> CaseResult {
    let (_, matching) = far_matches(store).await?;
    let ids = ids_of(&matching);
    for top_k in [5, 20, 30] {
        let mut query = query.clone().with_selector(rare()?);
        query.top_k = top_k;
        let found = query_ids(store, &query).await?;
        same(format!("answers for top {top_k} of 20"), &found.len(), &top_k.min(20))?;
        holds(found.iter().all(|id| ids.contains(id)), format!("{found:?} are not all among {ids:?}"))?;
    }
    Ok(())
}

/// A search by words too.
async fn filter_comes_before_top_k_of_text(store: &dyn VectorStore) -> CaseResult {
    finds_rare(store, VectorQuery::text("quartz", 5)).await
}

/// In hybrid search the filter comes before both rankings, so ranks count only what is selected.
async fn filter_comes_before_top_k_of_hybrid(store: &dyn VectorStore) -> CaseResult {
    finds_rare(store, VectorQuery::hybrid(AT.to_vec(), "quartz", 5)).await?;
    let query = VectorQuery::hybrid(AT.to_vec(), "quartz", 400).with_selector(rare()?);
    let best =
        store.query_many(&[query]).await?.into_iter().flatten().map(|found| found.score).fold(0.0, f64::max);
    holds(
        best > 0.5 / 80.0 + 0.5 / 80.0,
        format!("a best score of {best} is below that of the last ranks of 20"),
    )
}

/// In MMR search nothing that is not selected is chosen or compared with.
async fn filter_comes_before_top_k_of_mmr(store: &dyn VectorStore) -> CaseResult {
    finds_rare(store, VectorQuery::mmr(AT.to_vec(), 5)).await
}

/// In a range too.
async fn filter_comes_before_top_k_of_range(store: &dyn VectorStore) -> CaseResult {
    let (metric, matching) = far_matches(store).await?;
    let scores = matching.iter().map(|node| score(metric, &AT, &node.embedding_f32().unwrap_or_default()));
    let radius = scores.fold(f64::INFINITY, f64::min) - 1.0;
    let kind = QueryKind::Range { embedding: AT.to_vec(), radius };
    let found = query_ids(store, &VectorQuery::new(kind, 20).with_selector(rare()?)).await?;
    same_items("the matching ones", &found, &ids_of(&matching))
}

/// All pages of a selector, with the size of each.
async fn pages(
    store: &dyn VectorStore,
    selector: &Selector,
    limit: usize,
) -> CaseResult<(Vec<String>, Vec<usize>)> {
    let (mut found, mut sizes, mut options) =
        (Vec::new(), Vec::new(), GetOptions::default().with_limit(limit));
    loop {
        let page = store.get(selector, options).await?;
        sizes.push(page.items.len());
        found.extend(ids_of(&page.items));
        let Some(next) = page.next else { return Ok((found, sizes)) };
        options = GetOptions::default().with_limit(limit).with_after(next);
        holds(sizes.len() < 2_000, "the pages have no end")?;
    }
}

/// The pages together are the whole, in its order.
async fn get_pages_give_each_once(store: &dyn VectorStore) -> CaseResult {
    configure(store, 2).await?;
    put(store, cloud(74, 100, 2)).await?;
    let all = Selector::all();
    let whole = select(store, &all).await?;
    same("again", &select(store, &all).await?, &whole)?;
    for limit in [1, 7, 50, 99, 100, 101] {
        same(format!("pages of {limit}"), &pages(store, &all, limit).await?.0, &whole)?;
    }
    let even: Vec<String> = (0..100).step_by(2).map(|n| format!("n{n:03}")).collect();
    let selector =
        Selector::ids(even.clone()).with_filter(filter(&json!({"key": "n", "operator": ">=", "value": 20}))?);
    let (found, _) = pages(store, &selector, 9).await?;
    same_items("pages of a selector", &found, even.get(10..).unwrap_or_default())
}

/// A page holds `limit` nodes unless the end is reached, also behind a filter that few match.
async fn get_pages_hold_limit_items(store: &dyn VectorStore) -> CaseResult {
    configure(store, 2).await?;
    put(store, cloud(75, 97, 2)).await?;
    let few = json!({"key": "n", "operator": "in", "value": (0..97).step_by(4).collect::<Vec<_>>()});
    for selector in [Selector::all(), filter(&few)?.into()] {
        let (found, sizes) = pages(store, &selector, 10).await?;
        let full = sizes.iter().take(found.len() / 10).all(|size| *size == 10);
        holds(full, format!("pages of 10 hold {sizes:?}"))?;
    }
    Ok(())
}

/// What is there all the time comes exactly once, while other nodes come and go.
async fn get_pages_while_others_write(store: &dyn VectorStore) -> CaseResult {
    configure(store, 2).await?;
    let steady = cloud(76, 60, 2);
    put(store, steady.clone()).await?;
    let (mut seen, mut options) = (Vec::new(), GetOptions::default().with_limit(7));
    for round in 0.. {
        let page = store.get(&Selector::all(), options).await?;
        seen.extend(ids_of(&page.items));
        let Some(next) = page.next else { break };
        options = GetOptions::default().with_limit(7).with_after(next);
        holds(round < 1_000, "the pages have no end")?;
        let coming = ["a", "n", "z"].map(|start| vector(&format!("{start}{round:03}x"), &[1.0, 0.0]));
        put(store, coming.to_vec()).await?;
        store.delete(&Selector::ids([format!("n{:03}x", round / 2)])).await?;
        // Changed, but there all the time.
        put(store, vec![vector("n030", &[0.0, 1.0]).with_metadata("round", round)]).await?;
    }
    let expected = ids_of(&steady);
    seen.retain(|id| expected.contains(id));
    same_items("the steady nodes", &seen, &expected)
}

/// A limit of zero, a broken cursor and another selector's cursor are `InvalidInput`.
async fn get_refuses_bad_options(store: &dyn VectorStore) -> CaseResult {
    configure(store, 2).await?;
    put(store, cloud(77, 9, 2)).await?;
    invalid("limit 0", store.get(&Selector::all(), GetOptions::default().with_limit(0)).await)?;
    for text in ["", "no cursor of ours", "{\"\u{0}\":[", "é"] {
        let options = GetOptions::default().with_after(Cursor::new(text));
        invalid(format!("cursor {text:?}"), store.get(&Selector::all(), options).await)?;
    }
    if let Some(cursor) = store.get(&Selector::all(), GetOptions::default().with_limit(2)).await?.next {
        let other: Selector = filter(&json!({"key": "n", "operator": ">", "value": 1}))?.into();
        let options = GetOptions::default().with_limit(2).with_after(cursor);
        invalid("another selector's cursor", store.get(&other, options).await)?;
    }
    Ok(())
}

/// A plan says in words how it finds the answers; the part of the filter that the server applies and the part
/// that is applied afterwards mean together what the filter means.
async fn explain_tells_the_parts_of_the_filter(store: &dyn VectorStore) -> CaseResult {
    configure(store, 2).await?;
    let nodes = cloud(78, 40, 2);
    put(store, nodes.clone()).await?;
    let unfiltered = store.explain(&VectorQuery::dense(vec![1.0, 0.0], 3)).await?;
    holds(!unfiltered.summary.is_empty(), "the summary is empty")?;
    holds(
        unfiltered.pushed_down.is_none() && unfiltered.applied_after.is_none(),
        "a plan without a filter names one",
    )?;
    let filters: [Value; 3] = [
        json!({"key": "n", "operator": ">", "value": 11}),
        json!({"filters": [
            {"key": "n", "operator": "<", "value": 30},
            {"filters": [{"key": "n", "value": 3}, {"key": "x", "operator": "exists"}], "condition": "not"},
            {"key": "n", "operator": "nin", "value": ["3", 4.0, null]},
        ]}),
        json!({"filters": [{"key": "n", "value": 1}, {"key": "n", "operator": "text_match", "value": "1"}], "condition": "or"}),
    ];
    for json in filters {
        let filter = filter(&json)?;
        let query = VectorQuery::dense(vec![1.0, 0.0], 3).with_selector(filter.clone());
        let plan = match store.explain(&query).await {
            Err(error)
                if store.capabilities().may_refuse_filters
                    && error.kind() == store_core::ErrorKind::Unsupported =>
            {
                continue;
            }
            plan => plan?,
        };
        holds(
            plan.pushed_down.is_some() || plan.applied_after.is_some(),
            format!("{json}: the plan names no part of it"),
        )?;
        for node in &nodes {
            let part = |part: &Option<Filter>| part.as_ref().is_none_or(|part| part.matches(&node.metadata));
            let together = part(&plan.pushed_down) && part(&plan.applied_after);
            holds(
                together == filter.matches(&node.metadata),
                format!(
                    "{json}: {:?} and {:?} mean another thing for {}",
                    plan.pushed_down, plan.applied_after, node.id
                ),
            )?;
        }
    }
    Ok(())
}
