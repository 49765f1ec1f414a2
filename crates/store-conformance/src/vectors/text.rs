//! Search by words.

use store_core::{
    MetadataPatch, Node, QueryKindName, ScoredNode, Selector, VectorQuery, VectorStore, VectorStoreExt,
};

use super::{configure, found_ids, in_order, put, query_ids};
use crate::case::{Need, cases};
use crate::check::{CaseResult, holds, same, same_items};

const TEXT: Need = Need::Query(QueryKindName::Text);

cases! { "vectors", Vectors:
    text_finds_nodes_that_hold_a_word [TEXT],
    text_ignores_case [TEXT],
    text_matches_whole_words [TEXT],
    text_splits_at_punctuation [TEXT],
    text_ranks_more_words_higher [TEXT],
    text_ties_are_ordered_by_id [TEXT],
    text_without_words_finds_nothing [TEXT],
    text_is_no_query_language [TEXT],
    text_searches_the_text_alone [TEXT],
    text_searches_every_class [TEXT],
    text_follows_what_was_written [TEXT],
    text_keeps_top_k_and_min_score [TEXT],
}

fn node(id: &str, text: &str) -> Node {
    Node::text(text).with_id(id)
}

async fn fill(store: &dyn VectorStore, texts: &[(&str, &str)]) -> CaseResult {
    configure(store, 2).await?;
    put(store, texts.iter().map(|(id, text)| node(id, text)).collect()).await
}

async fn search(store: &dyn VectorStore, text: &str) -> CaseResult<Vec<ScoredNode>> {
    Ok(store.query(&VectorQuery::text(text, 100)).await?)
}

async fn found(store: &dyn VectorStore, text: &str) -> CaseResult<Vec<String>> {
    Ok(found_ids(&search(store, text).await?))
}

/// Only nodes that hold a word of the query, each with a score above 0, best first.
async fn text_finds_nodes_that_hold_a_word(store: &dyn VectorStore) -> CaseResult {
    fill(
        store,
        &[
            ("a", "quartz and granite"),
            ("b", "granite basalt granite"),
            ("c", "marble"),
            ("d", "zircon quartz quartz"),
            ("e", ""),
        ],
    )
    .await?;
    same_items("quartz", &found(store, "quartz").await?, &["a", "d"])?;
    same_items("quartz basalt", &found(store, "quartz basalt").await?, &["a", "b", "d"])?;
    same("feldspar", &found(store, "feldspar").await?, &[(); 0])?;
    same_items("a word nobody has beside one", &found(store, "feldspar marble").await?, &["c"])?;
    let answers = search(store, "quartz granite").await?;
    holds(
        answers.iter().all(|answer| answer.score > 0.0 && answer.score.is_finite()),
        "a score is not above 0",
    )?;
    in_order("quartz granite", &answers)
}

/// Upper and lower case are the same, in any script.
async fn text_ignores_case(store: &dyn VectorStore) -> CaseResult {
    fill(store, &[("a", "QUARTZ"), ("b", "Zażółć Gęślą"), ("c", "Ärger ΩΜΕΓΑ"), ("d", "ПРИВЕТ")]).await?;
    for (query, id) in [
        ("quartz", "a"),
        ("qUaRtZ", "a"),
        ("ZAŻÓŁĆ", "b"),
        ("gęślą", "b"),
        ("ÄRGER", "c"),
        ("ωμεγα", "c"),
        ("привет", "d"),
        ("Привет", "d"),
    ] {
        same(query, &found(store, query).await?, &[id])?;
    }
    Ok(())
}

/// A part of a word is another word.
async fn text_matches_whole_words(store: &dyn VectorStore) -> CaseResult {
    fill(store, &[("a", "concatenate"), ("b", "zircon"), ("c", "zirconium")]).await?;
    same("cat", &found(store, "cat").await?, &[(); 0])?;
    same("zircon", &found(store, "zircon").await?, &["b"])?;
    same("zirc", &found(store, "zirc").await?, &[(); 0])
}

/// Words end at everything that is no letter or digit.
async fn text_splits_at_punctuation(store: &dyn VectorStore) -> CaseResult {
    fill(store, &[("a", "quick-brown,zebra.(Quartz)\n\"granite\"/basalt—marble 42!")]).await?;
    for word in ["quick", "brown", "zebra", "quartz", "granite", "basalt", "marble", "42"] {
        same(word, &found(store, word).await?, &["a"])?;
    }
    same("quick-brown", &found(store, "quick-brown").await?, &["a"])?;
    same("¿zebra?", &found(store, "¿zebra?").await?, &["a"])
}

/// Of texts of equal length, one that holds more words of the query stands higher.
async fn text_ranks_more_words_higher(store: &dyn VectorStore) -> CaseResult {
    fill(
        store,
        &[
            ("one", "quartz gneiss slate"),
            ("three", "quartz granite zircon"),
            ("two", "quartz granite slate"),
            ("none", "gneiss slate chalk"),
        ],
    )
    .await?;
    same("quartz granite zircon", &found(store, "quartz granite zircon").await?, &["three", "two", "one"])
}

/// Equal texts have equal scores, and equal scores are ordered by id, also where `top_k` cuts.
async fn text_ties_are_ordered_by_id(store: &dyn VectorStore) -> CaseResult {
    let ids = ["10", "9", "A", "a", "aa", "b", "é", "😀"];
    let texts: Vec<(&str, &str)> = ids.iter().rev().map(|id| (*id, "quartz granite")).collect();
    fill(store, &texts).await?;
    same("all", &found(store, "quartz").await?, &ids)?;
    let cut = query_ids(store, &VectorQuery::text("quartz", 3)).await?;
    same("top 3", &cut, ids.get(..3).unwrap_or_default())
}

/// A text without a word asks for nothing: an empty answer, no error.
async fn text_without_words_finds_nothing(store: &dyn VectorStore) -> CaseResult {
    fill(store, &[("a", "quartz"), ("b", "… — !"), ("c", "")]).await?;
    for text in ["", " ", "…", "!?.,", "\"", "*", "()", "-", "\0", "😀"] {
        same(format!("{text:?}"), &found(store, text).await?, &[(); 0])?;
    }
    Ok(())
}

/// What means something in a server's query language is plain text here.
async fn text_is_no_query_language(store: &dyn VectorStore) -> CaseResult {
    fill(store, &[("a", "quartz granite"), ("b", "zebra"), ("c", "quarter")]).await?;
    let queries = [
        "-quartz",
        "+quartz",
        "NOT quartz",
        "!quartz",
        "\"quartz",
        "'quartz'",
        "quartz*",
        "quartz~",
        "quartz^9",
        "text:quartz",
        "@text:quartz",
        "_id:quartz",
        "(quartz",
        "quartz)",
        "{quartz}",
        "[quartz TO *]",
        "quartz\\",
        "quartz AND feldspar",
        "quartz && feldspar",
        "quartz; DROP",
        "$quartz",
        "%quartz%",
        "/quartz/",
        "quartz?",
        "=>[KNN 2 @v $q] quartz",
        "\"marble quartz\"",
        "<quartz>",
        "quartz -granite",
        "quartz\0",
    ];
    for query in queries {
        same(query, &found(store, query).await?, &["a"])?;
    }
    same("zebra OR nothing", &found(store, "zebra OR nothing").await?, &["b"])
}

/// Ids, metadata and templates are not searched.
async fn text_searches_the_text_alone(store: &dyn VectorStore) -> CaseResult {
    configure(store, 2).await?;
    let other = node("quartz", "granite").with_metadata("quartz", "quartz").with_source("quartz");
    put(store, vec![Node { text_template: "quartz {content}".to_owned(), ..other }]).await?;
    same("quartz", &found(store, "quartz").await?, &[(); 0])?;
    same("granite", &found(store, "granite").await?, &["quartz"])
}

/// The text of every class of node.
async fn text_searches_every_class(store: &dyn VectorStore) -> CaseResult {
    configure(store, 2).await?;
    let mut expected = Vec::new();
    for form in crate::nodes::every_class() {
        let node = crate::nodes::node(form)?;
        if node.text_content().contains("Café") {
            expected.push(node.id.as_str().to_owned());
        }
        put(store, vec![node]).await?;
    }
    holds(expected.len() >= 4, "the fixtures hold too few texts")?;
    same_items("café", &found(store, "café").await?, &expected)
}

/// Words that are replaced, deleted or left alone are found accordingly.
async fn text_follows_what_was_written(store: &dyn VectorStore) -> CaseResult {
    fill(store, &[("a", "quartz"), ("b", "quartz"), ("c", "quartz")]).await?;
    put(store, vec![node("a", "granite")]).await?;
    store.delete(&Selector::ids(["b"])).await?;
    store.update(&Selector::ids(["c"]), &MetadataPatch::new().with_set("m", 1)).await?;
    same("quartz", &found(store, "quartz").await?, &["c"])?;
    same("granite", &found(store, "granite").await?, &["a"])?;
    store.clear().await?;
    same("after clear", &found(store, "quartz").await?, &[(); 0])?;
    put(store, vec![node("b", "quartz")]).await?;
    same("written again", &found(store, "quartz").await?, &["b"])
}

/// `top_k` gives the best, `min_score` what reaches it.
async fn text_keeps_top_k_and_min_score(store: &dyn VectorStore) -> CaseResult {
    let texts: Vec<String> = (1..=12).map(|n| format!("quartz {}", "filler ".repeat(n * n))).collect();
    let named: Vec<(String, &String)> =
        texts.iter().enumerate().map(|(n, text)| (format!("n{n:02}"), text)).collect();
    let texts: Vec<(&str, &str)> = named.iter().map(|(id, text)| (id.as_str(), text.as_str())).collect();
    fill(store, &texts).await?;
    let whole = search(store, "quartz").await?;
    in_order("quartz", &whole)?;
    same("how many", &whole.len(), &12_usize)?;
    let ids = found_ids(&whole);
    let cut = query_ids(store, &VectorQuery::text("quartz", 4)).await?;
    same("top 4", &cut, ids.get(..4).unwrap_or_default())?;
    if let (Some(fifth), Some(sixth)) = (whole.get(4), whole.get(5)) {
        let least = f64::midpoint(fifth.score, sixth.score);
        let reached = query_ids(store, &VectorQuery::text("quartz", 12).with_min_score(least)).await?;
        let expected: Vec<String> = whole
            .iter()
            .filter(|answer| answer.score >= least)
            .map(|answer| answer.node.id.to_string())
            .collect();
        same(format!("at least {least}"), &reached, &expected)?;
    }
    Ok(())
}
