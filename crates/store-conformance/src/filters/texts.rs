//! Texts and names are themselves: no pattern, no folding, no quoting that leaks.

use serde_json::{Value, json};

use super::{Filtered, op};
use crate::case::{Need, cases};
use crate::check::CaseResult;
use crate::data::odd_keys;
use crate::harness::Env;

cases! { "filters", Env:
    text_match_keeps_case [Need::Filters],
    text_match_insensitive_lowers_both [Need::Filters],
    texts_are_not_patterns [Need::Filters],
    odd_texts_equal_only_themselves [Need::Filters],
    odd_field_names_reach_only_themselves [Need::Filters],
}

/// A substring, case kept; only texts match.
async fn text_match_keeps_case(env: &Env) -> CaseResult {
    let rows = [
        ("lower", json!({"v": "the zebra runs"})),
        ("upper", json!({"v": "The ZEBRA Runs"})),
        ("word", json!({"v": "zebra"})),
        ("part", json!({"v": "zebras"})),
        ("composed", json!({"v": "café"})),
        ("decomposed", json!({"v": "cafe\u{301}"})),
        ("list", json!({"v": ["zebra"]})),
        ("number", json!({"v": 12})),
        ("empty", json!({"v": ""})),
    ];
    let stores = Filtered::with(env, &rows).await?;
    stores
        .expect_all(&[
            (op("text_match", json!("zebra")), &["lower", "word", "part"]),
            (op("text_match", json!("ZEBRA")), &["upper"]),
            (op("text_match", json!("bra r")), &["lower"]),
            (op("text_match", json!("é")), &["composed"]),
            (op("text_match", json!("e\u{301}")), &["decomposed"]),
            (op("text_match", json!("cafe")), &["decomposed"]),
            (op("text_match", json!("12")), &[]),
            (
                op("text_match", json!("")),
                &["lower", "upper", "word", "part", "composed", "decomposed", "empty"],
            ),
        ])
        .await
}

/// The same after Unicode lower-casing of both, which is no full case folding: `ß` stays, `ẞ` becomes `ß`.
async fn text_match_insensitive_lowers_both(env: &Env) -> CaseResult {
    let rows = [
        ("lower", json!({"v": "the zebra"})),
        ("upper", json!({"v": "THE ZEBRA"})),
        ("polish", json!({"v": "ZAŻÓŁĆ"})),
        ("greek", json!({"v": "ΩΜΕΓΑ"})),
        ("cyrillic", json!({"v": "Привет"})),
        ("sharp s", json!({"v": "Straße"})),
        ("capital sharp s", json!({"v": "STRAẞE"})),
        ("double s", json!({"v": "STRASSE"})),
        ("number", json!({"v": 1})),
    ];
    let stores = Filtered::with(env, &rows).await?;
    stores
        .expect_all(&[
            (op("text_match_insensitive", json!("Zebra")), &["lower", "upper"]),
            (op("text_match_insensitive", json!("żółć")), &["polish"]),
            (op("text_match_insensitive", json!("ωμεγ")), &["greek"]),
            (op("text_match_insensitive", json!("ПРИВЕТ")), &["cyrillic"]),
            (op("text_match_insensitive", json!("straße")), &["sharp s", "capital sharp s"]),
            (op("text_match_insensitive", json!("STRASSE")), &["double s"]),
            (op("text_match_insensitive", json!("1")), &[]),
        ])
        .await
}

/// What a server's pattern or query language would read as a command is plain text.
async fn texts_are_not_patterns(env: &Env) -> CaseResult {
    let rows = [
        ("plain", json!({"v": "abc"})),
        ("percent", json!({"v": "a%c"})),
        ("star", json!({"v": "a*c"})),
        ("dot", json!({"v": "a.c"})),
        ("underscore", json!({"v": "a_c"})),
        ("pipe", json!({"v": "abc|xyz"})),
        ("other", json!({"v": "xyz"})),
        ("regex", json!({"v": "^a.*c$"})),
        ("backslash", json!({"v": "a\\c"})),
        ("quotes", json!({"v": "it's \"a\" `c`"})),
        ("dollar", json!({"v": "$v"})),
        ("braces", json!({"v": "{abc}"})),
    ];
    let stores = Filtered::with(env, &rows).await?;
    for operator in ["==", "text_match", "text_match_insensitive", "contains"] {
        let rows: [(&str, &[&str]); 12] = [
            ("a%c", &["percent"]),
            ("a*c", &["star"]),
            ("a.c", &["dot"]),
            ("a_c", &["underscore"]),
            ("abc|xyz", &["pipe"]),
            ("^a.*c$", &["regex"]),
            (".*", if operator == "==" { &[] } else { &["regex"] }),
            ("%", if operator == "==" { &[] } else { &["percent"] }),
            ("a\\c", &["backslash"]),
            ("it's \"a\" `c`", &["quotes"]),
            ("$v", &["dollar"]),
            ("{abc}", &["braces"]),
        ];
        for (text, ids) in rows {
            stores.expect(&op(operator, json!(text)), ids).await?;
        }
    }
    stores.expect(&op("in", json!(["a*c", "x|y", "*", "%"])), &["star"]).await
}

/// Of all the awkward texts each equals itself alone, whatever the operator.
async fn odd_texts_equal_only_themselves(env: &Env) -> CaseResult {
    let texts = odd_keys();
    let ids: Vec<String> = (0..texts.len()).map(|n| format!("n{n}")).collect();
    let rows: Vec<(&str, Value)> =
        ids.iter().zip(&texts).map(|(id, text)| (id.as_str(), json!({"v": text, "l": [text]}))).collect();
    let stores = Filtered::with(env, &rows).await?;
    for (ids, texts) in ids.chunks(8).zip(texts.chunks(8)) {
        let (mut list, ids): (_, Vec<&str>) = (texts.to_vec(), ids.iter().map(String::as_str).collect());
        list.push("nobody says this".to_owned());
        stores.expect(&op("in", json!(list)), &ids).await?;
    }
    for (id, text) in ids.iter().zip(&texts) {
        stores.expect(&op("==", json!(text)), &[id]).await?;
        stores.expect(&json!({"key": "l", "operator": "contains", "value": text}), &[id]).await?;
    }
    Ok(())
}

/// A field's name is free text but for the dot, which parts the path. A store may refuse NUL in a name.
async fn odd_field_names_reach_only_themselves(env: &Env) -> CaseResult {
    let holds_nul = Filtered::open(env).await?.hold(json!({"a\0b": 1})).await?;
    let legal = |name: &String| !name.contains('.') && (holds_nul || !name.contains('\0'));
    let names: Vec<String> = odd_keys().into_iter().filter(legal).collect();
    let ids: Vec<String> = (0..names.len()).map(|n| format!("n{n}")).collect();
    let rows: Vec<(&str, Value)> =
        ids.iter().zip(&names).map(|(id, name)| (id.as_str(), json!({name.as_str(): 1}))).collect();
    let stores = Filtered::with(env, &rows).await?;
    for (id, name) in ids.iter().zip(&names) {
        stores.expect(&json!({"key": name, "value": 1}), &[id]).await?;
        stores.expect(&json!({"key": name, "operator": "exists"}), &[id]).await?;
    }
    Ok(())
}
