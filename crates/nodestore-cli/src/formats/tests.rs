//! What each kind of file becomes.

use std::io::Cursor;

use serde_json::{Value, json};

use super::*;

/// Everything that reading gives: documents as `id`, text and metadata, failures as place and reason.
#[derive(Debug, Default)]
struct Given {
    documents: Vec<Document>,
    failed: Vec<(String, String)>,
    notes: Vec<String>,
    bytes: u64,
}

impl Given {
    fn ids(&self) -> Vec<&str> {
        self.documents.iter().map(|document| document.id.as_str()).collect()
    }

    fn texts(&self) -> Vec<&str> {
        self.documents.iter().map(|document| document.text_content()).collect()
    }

    fn metadata(&self, key: &str) -> Vec<Value> {
        let value = |document: &Document| document.metadata.get(key).cloned().unwrap_or_default();
        self.documents.iter().map(value).collect()
    }
}

fn read_with(name: &str, bytes: impl AsRef<[u8]>, rows: &RowOptions, most_bytes: u64) -> Given {
    let mut given = Given::default();
    let origin = Origin::of_file(name, Format::of(Path::new(name)).unwrap());
    let source = Box::new(Cursor::new(bytes.as_ref().to_vec()));
    let flow = read(source, &origin, rows, most_bytes, &mut |item| {
        match item {
            Item::Document { document, bytes } => {
                given.documents.push(*document);
                given.bytes += bytes;
            }
            Item::Failed { place, why, bytes } => {
                given.failed.push((place, why));
                given.bytes += bytes;
            }
            Item::Note(note) => given.notes.push(note),
        }
        ControlFlow::Continue(())
    });
    assert!(flow.is_continue());
    given
}

fn given(name: &str, bytes: impl AsRef<[u8]>) -> Given {
    read_with(name, bytes, &RowOptions::default(), 1 << 20)
}

fn fields(text: &[&str], id: Option<&str>, metadata: Option<&[&str]>) -> RowOptions {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    RowOptions { text: owned(text), id: id.map(str::to_owned), metadata: metadata.map(owned) }
}

#[test]
fn the_title_is_the_first_heading_outside_code() {
    let text = "intro\n```sh\n# no title\n```\n## second level\n# The *title* #\n# another\n";
    assert_eq!(given("/a.md", text).metadata("title"), ["The *title*"]);
    assert_eq!(given("/a.txt", "# x\n").metadata("title"), [Value::Null]);
    assert_eq!(given("/a.md", "# \ntext").metadata("title"), [Value::Null]);
}

#[test]
fn what_is_no_utf8_text_says_why() {
    for (bytes, why) in [
        (b"ab\xff".as_slice(), "is not UTF-8 text (byte 2)"),
        (b"\xff\xfea\0", "is UTF-16 text"),
        (b"a\0b", "is not text (a zero at byte 1)"),
    ] {
        let given = given("/a.txt", bytes);
        assert!(given.failed[0].1.starts_with(why), "{given:?}");
        assert!(document("/a.txt", bytes).unwrap_err().starts_with(why));
    }
}

#[test]
fn a_byte_order_mark_is_no_part_of_any_format() {
    assert_eq!(given("/a.md", "\u{FEFF}# T\n").texts(), ["# T\n"]);
    assert_eq!(given("/a.json", "\u{FEFF}{\"text\":\"x\"}").texts(), ["x"]);
    assert_eq!(given("/a.jsonl", "\u{FEFF}{\"text\":\"x\"}").texts(), ["x"]);
    assert_eq!(given("/a.csv", "\u{FEFF}text,n\nx,1\n").texts(), ["x"]);
}

#[test]
fn front_matter_is_metadata() {
    let yaml = "---\ntitle: Set\ntags: [a, b]\nyear: 2024\nnothing:\ndate: 2024-05-01\nyes: no\n---\n# Heading\nBody\n";
    let read = given("/a.md", yaml);
    let metadata = &read.documents[0].metadata;
    assert_eq!(metadata["title"], "Set");
    assert_eq!(metadata["tags"], json!(["a", "b"]));
    assert_eq!(metadata["year"], 2024);
    assert_eq!(metadata["date"], "2024-05-01");
    assert_eq!(metadata["yes"], "no");
    assert!(!metadata.contains_key("nothing"));
    assert_eq!(read.texts(), [yaml], "lines are those of the file");
    assert_eq!(markdown_body(yaml), "# Heading\nBody\n");

    let toml = "+++\ndraft = false\ndate = 2024-05-01\n[extra]\nn = 1.5\n+++\nBody\n";
    let read = given("/a.md", toml);
    assert_eq!(read.metadata("draft"), [json!(false)]);
    assert_eq!(read.metadata("date"), [json!("2024-05-01")]);
    assert_eq!(read.metadata("extra"), [json!({"n": 1.5})]);
    assert_eq!(markdown_body(toml), "Body\n");
}

#[test]
fn what_is_no_front_matter_stays_text() {
    for text in
        ["---\nA rule above, a rule below.\n---\nText\n", "---\nnever: closed\n", "text\n---\na: b\n---\n"]
    {
        let read = given("/a.md", text);
        assert_eq!((read.documents.len(), read.notes.len()), (1, 0), "{text}");
        assert_eq!(markdown_body(text), text);
    }
    for (text, why) in [
        ("---\na: b\nc: [1\n---\nText\n", "is no YAML (line "),
        ("+++\na = 1\nb\n+++\n", "is no TOML (line 3"),
    ] {
        let read = given("/a.md", text);
        assert!(read.notes[0].contains(why), "{read:?}");
        assert_eq!(markdown_body(text), text);
    }
}

#[test]
fn html_is_read_as_people_read_it() {
    let page = r#"<!DOCTYPE html><html><head><title>  A &amp;
        title </title><style>p { color: red }</style><script>if (a < b) "<p>no</p>"</script></head>
        <body><h1>Heading</h1><p>One <b>bold</b>word,<br>next line.</p>
        <ul><li>first<li>second</ul><script>never()</script><svg><title>icon</title><text>no</text></svg>
        <table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>
        <pre>  kept
    as is</pre><template><p>no</p></template><p>Last&nbsp;&eacute;</body></html>"#;
    let read = given("/a.html", page);
    assert_eq!(read.metadata("title"), ["A & title"]);
    let expected = "Heading\n\nOne boldword,\nnext line.\n\nfirst\nsecond\n\na\tb\nc\n\n  kept\n    as is\n\nLast\u{a0}é";
    assert_eq!(read.texts(), [expected]);
    assert_eq!(given("/a.htm", "<title>T</title><p>no head, no body").texts(), ["no head, no body"]);
    assert_eq!(given("/a.htm", "<head><meta charset=utf-8><p>never closed").texts(), ["never closed"]);
    assert_eq!(given("/a.htm", "<svg/><p>after").texts(), ["after"]);
}

#[test]
fn deep_html_is_no_danger() {
    let page = "<div>".repeat(200_000) + "deep";
    assert_eq!(given("/a.html", page).texts(), ["deep"]);
}

#[test]
fn an_object_is_a_document_and_an_array_many() {
    let read = given("/a.json", r#" {"text": "one", "year": 2024, "tags": ["x"], "none": null} "#);
    assert_eq!((read.ids(), read.texts()), (vec!["/a.json"], vec!["one"]));
    assert_eq!(read.metadata("year"), [json!(2024)]);
    assert_eq!(read.metadata("tags"), [Value::Null]);
    let rows =
        "[{\"text\":\"one\"},\n {\"content\":\"two [,{\\\"\"} , {\"n\": {\"deep\": [1, 2]}, \"b\": false}]\n";
    let read = given("/a.json", rows);
    assert_eq!(read.ids(), ["/a.json#1", "/a.json#2", "/a.json#3"]);
    assert_eq!(read.texts(), ["one", "two [,{\"", "n: {\"deep\":[1,2]}\nb: false"]);
    assert_eq!(given("/a.json", "[]").ids(), [""; 0]);
    assert_eq!(given("/a.json", "[ ]").failed, []);
}

#[test]
fn python_json_is_read() {
    let read = given("/a.json", r#"[{"text": "one", "score": NaN, "big": Infinity, "s": "\ud800"}]"#);
    assert_eq!(read.metadata("score"), [Value::Null]);
    assert_eq!(read.metadata("s"), ["\u{FFFD}"]);
}

#[test]
fn broken_json_says_where_and_what_was_kept() {
    let cases = [
        ("", "/a.json", "is empty"),
        ("7", "/a.json:1:1", "neither an object nor an array"),
        ("{\"a\": 1} {", "/a.json:1:10", "--format jsonl"),
        ("{\"a\": 1,}", "/a.json:1:9", "trailing comma"),
        ("[{\"a\": 1}\n {\"a\": 2}]", "/a.json:2:2", "a comma or ] is missing; row 1 is kept"),
        ("[{\"a\": 1}, {\"a\": 2},\n\n{\"a\": x}]", "/a.json:3:7", "rows 1 to 2 are kept"),
        ("[{\"a\": 1},\n{\n\"a\": 1,\n  \"b\": }]", "/a.json:4:8", "row 1 is kept"),
        (
            "[{\"a\": 1}, {\"a\": ",
            "/a.json:1:18",
            "the file ends inside the row that begins on line 1; row 1 is kept",
        ),
        ("[{\"a\": 1},", "/a.json:1:11", "the file ends inside its array"),
        ("[{\"a\": 1},]", "/a.json:1:11", "a row is missing behind the comma"),
        ("[{\"a\": 1}] x", "/a.json:1:12", "something follows the array"),
        ("[,]", "/a.json:1:2", "is not JSON here"),
        ("[{\"a\": \"\u{0}\"}]", "/a.json:1:2", "is not text"),
    ];
    for (text, place, why) in cases {
        let read = given("/a.json", text);
        let (at, reason) = &read.failed[0];
        assert!(at == place && reason.contains(why), "{text}: {read:?}");
        assert_eq!(read.failed.len(), 1);
    }
    let read = given("/a.json", "[1, \"a\", null, {\"text\": \"x\"}, [2]]");
    assert_eq!((read.ids(), read.failed.len()), (vec!["/a.json#4"], 4));
    assert!(read.failed[1].1.contains("row 2 is a text, not an object"), "{read:?}");
}

#[test]
fn jsonl_goes_on_behind_bad_lines() {
    let text = "{\"text\":\"one\"}\r\n\n{\"text\": }\n[1]\n{\"text\":\"five\"}";
    let read = given("/a.jsonl", text);
    assert_eq!((read.ids(), read.texts()), (vec!["/a.jsonl#1", "/a.jsonl#5"], vec!["one", "five"]));
    assert_eq!(read.failed[0].0, "/a.jsonl:3:10");
    assert_eq!(read.failed[1], ("/a.jsonl:4".to_owned(), "the line holds a list, not an object".to_owned()));
    assert_eq!(read.bytes, text.len() as u64);
}

#[test]
fn rows_that_are_too_long_are_skipped_and_files_that_are_long_are_not() {
    let long = "x".repeat(2 << 20);
    let rows = RowOptions::default();
    let text = format!("{{\"text\":\"a\"}}\n{{\"text\":\"{long}\"}}\n{{\"text\":\"c\"}}\n");
    let read = read_with("/a.jsonl", text, &rows, 1 << 20);
    assert_eq!(read.ids(), ["/a.jsonl#1", "/a.jsonl#3"]);
    assert!(read.failed[0].1.contains("more than 1 MB"), "{:?}", read.failed);
    let read = read_with("/a.json", format!("[{{\"a\":1}},{{\"text\":\"{long}\"}}]"), &rows, 1 << 20);
    assert!(read.failed[0].1.contains("more than 1 MB") && read.ids().len() == 1, "{:?}", read.failed);
    let read = read_with("/a.csv", format!("text\na\n\"{long}\n"), &rows, 1 << 20);
    assert!(read.failed[0].1.contains("quotation mark") && read.ids().len() == 1, "{:?}", read.failed);
    assert_eq!(read.failed[0].0, "/a.csv:3");
    let many = "text\n".to_owned() + &format!("{}\n", "x".repeat(99)).repeat(20_000);
    assert_eq!(read_with("/a.csv", many, &rows, 1 << 20).documents.len(), 20_000);
    let read = read_with("/a.txt", long, &rows, 1 << 20);
    assert!(read.failed[0].1.contains("more than 1 MB"));
}

#[test]
fn csv_rows_are_documents() {
    let text =
        "id,text,year,zip,price,ok,none\na,\"one,\ntwo\",2024,01234,1.50,true,\nb,three,-5,0,0.1,x,-\n";
    let read = given("/a.csv", text);
    assert_eq!(read.ids(), ["/a.csv#1", "/a.csv#2"]);
    assert_eq!(read.texts(), ["one,\ntwo", "three"]);
    assert_eq!(read.metadata("year"), [json!(2024), json!(-5)]);
    assert_eq!(read.metadata("zip"), [json!("01234"), json!(0)]);
    assert_eq!(read.metadata("price"), [json!(1.5), json!(0.1)]);
    assert_eq!(read.metadata("ok"), [json!(true), json!("x")]);
    assert_eq!(read.metadata("none"), [Value::Null, json!("-")]);
    assert_eq!(read.metadata("file_path"), ["/a.csv", "/a.csv"]);

    let rows = fields(&["year", "text"], Some("id"), Some(&["zip", "text"]));
    let read = read_with("/a.csv", text, &rows, 1 << 20);
    assert_eq!(read.ids(), ["/a.csv#a", "/a.csv#b"]);
    assert_eq!(read.texts(), ["2024\n\none,\ntwo", "-5\n\nthree"]);
    assert_eq!(read.metadata("text"), ["one,\ntwo", "three"]);
    assert_eq!(read.metadata("year"), [Value::Null, Value::Null]);
}

#[test]
fn csv_with_other_separators_is_known_by_its_header() {
    assert_eq!(given("/a.csv", "text;\"a,b,c\";n\nx,y;1;2\n").texts(), ["x,y"]);
    assert_eq!(given("/a.csv", "text\tn\nx,y\t2\n").texts(), ["x,y"]);
    assert_eq!(given("/a.tsv", "text\tn,m\nx\t2\n").metadata("n,m"), [json!(2)]);
    assert_eq!(given("/a.csv", "text\nx;y\n").texts(), ["x;y"]);
}

#[test]
fn bad_rows_of_csv_are_named_by_their_line() {
    let read = given("/a.csv", b"text,n\nab,1\n\"c\nd\",2,3\ne\nf\xff,5\ng,6\n");
    assert_eq!(read.ids(), ["/a.csv#1", "/a.csv#5"]);
    assert_eq!(
        read.failed,
        [
            ("/a.csv:3".to_owned(), "the row has 3 fields, the header 2".to_owned()),
            ("/a.csv:5".to_owned(), "the row has 1 fields, the header 2".to_owned()),
            ("/a.csv:6".to_owned(), "the row is not UTF-8 text; convert the file".to_owned()),
        ]
    );
    let read = given("/a.csv", "a,b,a\n1,2,3\n");
    assert!(read.failed[0].1.contains("\"a\" twice"), "{read:?}");
    assert!(given("/a.csv", "").failed[0].1.starts_with("is empty"));
    assert_eq!(given("/a.csv", ",text\n0,x\n").metadata("column_1"), [json!(0)]);
}

#[test]
fn fields_that_are_not_there_are_named_with_those_that_are() {
    let rows = fields(&["Text"], None, None);
    let read = read_with("/a.csv", "text,n\nx,1\n", &rows, 99);
    let why = "there is no column \"Text\"; there are: text, n";
    assert_eq!(read.failed, [("/a.csv:1".to_owned(), why.to_owned())]);
    let read = read_with("/a.jsonl", "{\"text\":\"x\"}\n{\"Text\":\"y\"}", &rows, 99);
    assert_eq!((read.texts(), read.failed.len()), (vec!["y"], 1));
    let rows = fields(&[], Some("id"), None);
    let lines = "{\"id\":7,\"text\":\"x\"}\n{\"id\":\"\"}\n{\"id\":[1]}\n{}\n{\"id\":\"a/b\"}";
    let read = read_with("/a.jsonl", lines, &rows, 99);
    assert_eq!((read.ids(), read.failed.len()), (vec!["/a.jsonl#7", "/a.jsonl#a/b"], 3));
}

#[test]
fn long_texts_are_no_metadata_unless_asked_for() {
    let line = format!("{{\"text\":\"x\",\"html\":\"{}\"}}", "é".repeat(1001));
    assert_eq!(given("/a.jsonl", &line).metadata("html"), [Value::Null]);
    let read = read_with("/a.jsonl", &line, &fields(&[], None, Some(&["html"])), 1 << 20);
    assert_eq!(read.metadata("html")[0].as_str().unwrap().chars().count(), 1001);
}

#[test]
fn a_files_own_fields_win_and_are_embedded() {
    let read = given("/a.jsonl", "{\"text\":\"x\",\"file_name\":\"theirs\"}");
    assert_eq!(read.metadata("file_name"), ["theirs"]);
    assert!(!read.documents[0].excluded_embed_metadata_keys.contains(&"file_name".to_owned()));
}
