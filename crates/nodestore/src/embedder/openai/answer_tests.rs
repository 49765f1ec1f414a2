use super::*;

fn ok(body: &str, texts: usize, dimensions: Option<usize>) -> Vec<Embedding> {
    read(body.as_bytes(), texts, dimensions).unwrap().embeddings
}

fn wrong(body: &str, texts: usize, dimensions: Option<usize>) -> String {
    format!("{:?}", read(body.as_bytes(), texts, dimensions).unwrap_err())
}

#[test]
fn the_index_says_the_order() {
    let body = r#"{"data":[{"index":1,"embedding":[3,4]},{"index":0,"embedding":[1,2.5]}],"usage":{"total_tokens":7}}"#;
    assert_eq!(ok(body, 2, Some(2)), [[1.0, 2.5], [3.0, 4.0]]);
    assert_eq!(read(body.as_bytes(), 2, None).unwrap().tokens, 7);
    let unnumbered = r#"{"data":[{"embedding":[1]},{"embedding":[2]}]}"#;
    assert_eq!(ok(unnumbered, 2, None), [[1.0], [2.0]]);
}

#[test]
fn base64_is_read_too() {
    // 1.0 is 00 00 80 3f.
    assert_eq!(ok(r#"{"data":[{"embedding":"AACAPw=="}]}"#, 1, Some(1)), [[1.0]]);
    assert!(wrong(r#"{"data":[{"embedding":"AACA"}]}"#, 1, Some(1)).contains("no base64"));
}

#[test]
fn what_is_wrong_is_said() {
    for (body, why) in [
        (r#"{"data":[{"embedding":[1]}]}"#, "2 embeddings were expected, 1 came"),
        (r#"{"data":[{"index":0,"embedding":[1]},{"index":0,"embedding":[1]}]}"#, "index 0 came twice"),
        (r#"{"data":[{"index":0,"embedding":[1]},{"index":2,"embedding":[1]}]}"#, "index 2 came"),
        (r#"{"data":[{"embedding":[1]},{"embedding":[1,2]}]}"#, "of 1 and of 2 values"),
        (r#"{"data":[{"embedding":[1]},{"embedding":[null]}]}"#, "value 1 of the embedding of index 1"),
        (r#"{"data":[{"embedding":[1]},{"embedding":[1e300]}]}"#, "number out of range"),
        (r#"{"data":[{"embedding":[]},{"embedding":[]}]}"#, "is empty"),
        (r#"{"data":[{"embedding":[NaN]},{"embedding":[1]}]}"#, "no JSON"),
        (r#"{"data":[{"embedding":["x"]},{"embedding":[1]}]}"#, "JSON, but no embeddings"),
        (r#"{"error":{"message":"no such model"}}"#, "no such model"),
        ("[]", "JSON, but no embeddings"),
        ("{}", "holds no embeddings"),
        ("<html>\n<b>hello</b>", "no JSON"),
        ("", "nothing"),
    ] {
        assert!(wrong(body, 2, None).contains(why), "{body}: {}", wrong(body, 2, None));
    }
    let two = r#"{"data":[{"embedding":[1,2]}]}"#;
    assert_eq!(read(two.as_bytes(), 1, Some(3)).unwrap_err(), Nonsense::OtherDimensions(2));
}

#[test]
fn an_answer_that_breaks_off_is_known_at_every_place() {
    let whole = r#"{"data":[{"index":0,"embedding":[1.5,2]}],"usage":{"total_tokens":7}}"#;
    for end in 1..whole.len() {
        let body = whole.get(..end).unwrap();
        assert_eq!(read(body.as_bytes(), 1, Some(2)).unwrap_err(), Nonsense::CutOff, "{body}");
    }
}
