use serde_json::json;

use super::*;

fn sent(text: &str) -> String {
    let select = Select::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    select.text(select.keyspace.as_deref().unwrap_or("ks"), 11)
}

fn refused(text: &str) -> String {
    match Select::parse(text) {
        Ok(select) => panic!("{text} was let through as {select:?}"),
        Err(error) => error.message().to_owned(),
    }
}

const SAME: &[(&str, &str)] = &[
    ("SELECT * FROM t", r#"SELECT * FROM "ks"."t" LIMIT 11"#),
    ("select A, \"B\" from Other.T;", r#"SELECT "a" , "B" FROM "other"."t" LIMIT 11"#),
    ("SELECT * FROM t WHERE a = 1 ; ; ", r#"SELECT * FROM "ks"."t" WHERE "a" = 1 LIMIT 11"#),
    ("SELECT a--x\nFROM//y\nt/* WHERE ; */WHERE a=-1", r#"SELECT "a" FROM "ks"."t" WHERE "a" = -1 LIMIT 11"#),
    ("SELECT a FROM t LIMIT 5 ALLOW FILTERING", r#"SELECT "a" FROM "ks"."t" LIMIT 11 ALLOW FILTERING"#),
    ("SELECT JSON * FROM t", r#"SELECT JSON * FROM "ks"."t" LIMIT 11"#),
    ("SELECT DISTINCT a FROM t", r#"SELECT DISTINCT "a" FROM "ks"."t" LIMIT 11"#),
    ("SELECT json, distinct FROM t", r#"SELECT "json" , "distinct" FROM "ks"."t" LIMIT 11"#),
    (
        "SELECT count(*) AS n FROM t WHERE a = 1",
        r#"SELECT count ( * ) AS "n" FROM "ks"."t" WHERE "a" = 1 LIMIT 11"#,
    ),
    (
        "SELECT CAST(a AS text), writetime(b), c['x'], d.e, f[1..2] FROM t",
        r#"SELECT cast ( "a" AS text ) , writetime ( "b" ) , "c" [ 'x' ] , "d" . "e" , "f" [ 1 .. 2 ] FROM "ks"."t" LIMIT 11"#,
    ),
    ("SELECT a - -1, -b, - -2 FROM t", r#"SELECT "a" - -1 , - "b" , - -2 FROM "ks"."t" LIMIT 11"#),
    ("SELECT (a + 2) * b % 3 FROM t", r#"SELECT ( "a" + 2 ) * "b" % 3 FROM "ks"."t" LIMIT 11"#),
    ("SELECT (int) 1, (text) ? FROM t", r#"SELECT ( int ) 1 , ( text ) ? FROM "ks"."t" LIMIT 11"#),
    (
        "SELECT to_json(max(to_timestamp(b))) FROM t",
        r#"SELECT to_json ( max ( to_timestamp ( "b" ) ) ) FROM "ks"."t" LIMIT 11"#,
    ),
    (
        "SELECT a FROM t WHERE a IN (1, ?) AND b > :x",
        r#"SELECT "a" FROM "ks"."t" WHERE "a" IN ( 1 , ? ) AND "b" > ? LIMIT 11"#,
    ),
    (
        "SELECT a FROM t WHERE a IN ? AND c IN ()",
        r#"SELECT "a" FROM "ks"."t" WHERE "a" IN ? AND "c" IN ( ) LIMIT 11"#,
    ),
    (
        "SELECT a FROM t WHERE token(a, b) > token(1, 2)",
        r#"SELECT "a" FROM "ks"."t" WHERE TOKEN ( "a" , "b" ) > token ( 1 , 2 ) LIMIT 11"#,
    ),
    (
        "SELECT a FROM t WHERE (a, b) >= (1, 'x')",
        r#"SELECT "a" FROM "ks"."t" WHERE ( "a" , "b" ) >= ( 1 , 'x' ) LIMIT 11"#,
    ),
    (
        "SELECT a FROM t WHERE (a = 1) AND (token(b) < 2)",
        r#"SELECT "a" FROM "ks"."t" WHERE ( "a" = 1 ) AND ( TOKEN ( "b" ) < 2 ) LIMIT 11"#,
    ),
    (
        "SELECT a FROM t WHERE s CONTAINS KEY 'k' AND l LIKE '%x'",
        r#"SELECT "a" FROM "ks"."t" WHERE "s" CONTAINS KEY 'k' AND "l" LIKE '%x' LIMIT 11"#,
    ),
    (
        "SELECT a FROM t WHERE m['k'] = 'v' AND m = {'k':now(), :v: 1}",
        r#"SELECT "a" FROM "ks"."t" WHERE "m" [ 'k' ] = 'v' AND "m" = { 'k' : now ( ) , ? : 1 } LIMIT 11"#,
    ),
    (
        "SELECT a FROM t WHERE u = {street: 'x', no : 5}",
        r#"SELECT "a" FROM "ks"."t" WHERE "u" = { "street" : 'x' , "no" : 5 } LIMIT 11"#,
    ),
    (
        "SELECT a FROM t GROUP BY a, floor(b, 1h30m)",
        r#"SELECT "a" FROM "ks"."t" GROUP BY "a" , floor ( "b" , 1h30m ) LIMIT 11"#,
    ),
    (
        "SELECT a FROM t ORDER BY v ANN OF [0.1, -2e-3] LIMIT 3",
        r#"SELECT "a" FROM "ks"."t" ORDER BY "v" ANN OF [ 0.1 , -2e-3 ] LIMIT 11"#,
    ),
    (
        "SELECT a FROM t ORDER BY b DESC, c PER PARTITION LIMIT 2 LIMIT 9",
        r#"SELECT "a" FROM "ks"."t" ORDER BY "b" DESC , "c" PER PARTITION LIMIT 2 LIMIT 11"#,
    ),
    (
        "SELECT a FROM t WHERE a = 0xCAFE AND b = 123e4567-e89b-12d3-a456-426614174000 AND c = abcdef01-e89b-12d3-a456-426614174000",
        r#"SELECT "a" FROM "ks"."t" WHERE "a" = 0xCAFE AND "b" = 123e4567-e89b-12d3-a456-426614174000 AND "c" = abcdef01-e89b-12d3-a456-426614174000 LIMIT 11"#,
    ),
    (
        "SELECT a FROM t WHERE a = true AND b = NaN AND c = null",
        r#"SELECT "a" FROM "ks"."t" WHERE "a" = true AND "b" = nan AND "c" = null LIMIT 11"#,
    ),
    ("SELECT ks.f(a) FROM t", r#"SELECT "ks"."f" ( "a" ) FROM "ks"."t" LIMIT 11"#),
    // What hides in strings and names stays there.
    (
        "SELECT a FROM t WHERE a = 'x''; DROP TABLE t; --'",
        r#"SELECT "a" FROM "ks"."t" WHERE "a" = 'x''; DROP TABLE t; --' LIMIT 11"#,
    ),
    (
        "SELECT a FROM t WHERE a = $$it's; INSERT INTO t$$",
        r#"SELECT "a" FROM "ks"."t" WHERE "a" = 'it''s; INSERT INTO t' LIMIT 11"#,
    ),
    (r#"SELECT "a""; DROP TABLE t" FROM "t""x""#, r#"SELECT "a""; DROP TABLE t" FROM "ks"."t""x" LIMIT 11"#),
    (
        "SELECT a FROM t WHERE a = '/*' AND b = '*/'",
        r#"SELECT "a" FROM "ks"."t" WHERE "a" = '/*' AND "b" = '*/' LIMIT 11"#,
    ),
    (
        r"SELECT a FROM t WHERE a = '\u0027; DROP TABLE t; --'",
        r#"SELECT "a" FROM "ks"."t" WHERE "a" = '\u0027; DROP TABLE t; --' LIMIT 11"#,
    ),
    ("SELECT a FROM t -- ; DROP TABLE t", r#"SELECT "a" FROM "ks"."t" LIMIT 11"#),
];

#[test]
fn statements_are_written_anew() {
    for (text, written) in SAME {
        assert_eq!(sent(text), *written, "{text}");
        // What was written anew is understood the same way.
        assert_eq!(sent(written), *written);
    }
}

#[test]
fn all_but_one_select_is_refused() {
    let statements = [
        ("", "the statement is empty"),
        ("-- SELECT * FROM t", "the statement is empty"),
        ("UPDATE t SET a = 1 WHERE b = 2", "begins with UPDATE"),
        ("/* SELECT */ DELETE FROM t", "begins with DELETE"),
        ("// SELECT\nTRUNCATE t", "begins with TRUNCATE"),
        ("BEGIN BATCH INSERT INTO t (a) VALUES (1) APPLY BATCH", "begins with BEGIN"),
        ("SELECTED * FROM t", "begins with SELECTED"),
        ("DESCRIBE TABLES", "begins with DESCRIBE"),
        ("USE ks", "begins with USE"),
        ("(SELECT * FROM t)", "begins with ("),
        ("'SELECT' * FROM t", "begins with a string"),
        ("ＳＥＬＥＣＴ * FROM t", "has no place in CQL"),
        ("SELECT\u{a0}* FROM t", "has no place in CQL"),
        ("SELECT * FROM t\0", "has no place in CQL"),
        ("SELECT * FROM t; DROP TABLE t", "only one statement"),
        ("SELECT * FROM t;;; SELECT * FROM u", "only one statement"),
        ("SELECT * FROM t; -- x\n DROP TABLE t", "only one statement"),
        ("SELECT * FROM t; /* x */ DROP TABLE t", "only one statement"),
        ("SELECT * FROM t DROP TABLE t", "the end of the statement is expected, and DROP"),
        ("SELECT * FROM t WHERE a = 'x\\'; DROP TABLE t; --'", "only one statement"),
        ("SELECT * FROM t WHERE a = 'x", "the string does not end"),
        ("SELECT * FROM t WHERE a = $$x", "the string that begins with $$ does not end"),
        ("SELECT * FROM t /* x", "the comment does not end"),
        ("SELECT * FROM t /* /* */ */", "the end of the statement is expected"),
        ("SELECT \"a FROM t", "the name in double quotes does not end"),
        ("SELECT \"\" FROM t", "a name in double quotes is empty"),
        ("SELECT * FROM t WHERE a = (SELECT b FROM u)", "SELECT is no value"),
        ("SELECT * FROM (SELECT * FROM t)", "no nested statements"),
        ("SELECT * FROM t, u", "reads one table"),
        ("SELECT * FROM t JOIN u", "CQL has no JOIN"),
        ("SELECT * FROM t WHERE a = 1 OR b = 2", "CQL has no OR"),
        ("SELECT * FROM t OFFSET 5", "CQL has no OFFSET"),
        ("SELECT * FROM a.b.c", "the end of the statement is expected"),
        ("SELECT FROM t", "a column is expected, and FROM stands there"),
        ("SELECT a b FROM t", "FROM is expected, and b stands there"),
        ("SELECT * FROM t WHERE a = abc", "abc is no value: a text stands in single quotes ('abc')"),
        ("SELECT * FROM t WHERE a = \"abc\"", "double quotes are for names"),
        ("SELECT * FROM t WHERE a <> 1", "a value is expected, and > stands there"),
        ("SELECT * FROM t WHERE expr(i, 'x')", "only columns and token"),
        ("SELECT * FROM t WHERE a = 1abc", "a number and a name stand together"),
        ("SELECT * FROM t LIMIT 0", "a limit is a whole number above 0"),
        ("SELECT * FROM t LIMIT -1", "a limit is a whole number above 0"),
        ("SELECT * FROM t LIMIT 99999999999999999999", "a limit is a whole number above 0"),
        ("SELECT * FROM t ALLOW", "FILTERING is expected, and it ends"),
        ("SELECT * FROM t WITH x", "the end of the statement is expected"),
        ("SELECT * FROM t IF EXISTS", "the end of the statement is expected"),
        ("SELECT a FROM t USING TIMEOUT 5s", "the end of the statement is expected"),
        ("SELECT CAST(a AS \"x\") FROM t", "a type of one word is expected"),
        ("SELECT * FROM t WHERE a = 1 AND", "a column is expected, and it ends"),
    ];
    for (text, why) in statements {
        let message = refused(text);
        assert!(message.contains(why), "{text}: {message}");
    }
    assert!(refused("SELECT * FROM t WHERE a = é").ends_with("at character 27 of the statement"));
}

#[test]
fn what_is_deep_or_long_is_refused_before_it_hurts() {
    let deep = |open: &str, close: &str| {
        let many = 60_000 / (open.len() + close.len()) / 2;
        refused(&format!("SELECT * FROM t WHERE a = {}1{}", open.repeat(many), close.repeat(many)))
    };
    for (open, close) in [("(", ")"), ("[", "]"), ("{", "}"), ("abs(", ")"), ("(int)", ""), ("a[", "]")] {
        let message = deep(open, close);
        assert!(message.contains("nested deeper than 32") || open == "a[", "{open}: {message}");
    }
    let message = refused(&format!("SELECT * FROM t WHERE {}a = 1", "(".repeat(20_000)));
    assert!(message.contains("nested deeper than 32"), "{message}");
    let long = format!("SELECT * FROM t WHERE a = '{}'", "x".repeat(1 << 20));
    assert!(refused(&long).contains("at most 65536 are read"));
    // Long, but not deep.
    let columns = vec!["a"; 10_000].join(",");
    assert_eq!(Select::parse(&format!("SELECT {columns} FROM t")).unwrap().columns.len(), 10_000);
    let minuses = "- ".repeat(20_000);
    assert!(Select::parse(&format!("SELECT {minuses}a FROM t")).is_ok());
}

#[test]
fn what_a_statement_needs_is_known() {
    let select = Select::parse(
        "SELECT x, max(y), ks.f(z) FROM a.b WHERE p = 1 AND q IN (2) AND r > 3 AND m['k'] = 4 LIMIT 7 ALLOW FILTERING",
    );
    let select = select.unwrap();
    assert_eq!((select.keyspace.as_deref(), select.table.as_str()), (Some("a"), "b"));
    let columns: Vec<&str> = select.columns.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(columns, ["x", "y", "z", "p", "q", "r", "m"]);
    assert!(select.equal.iter().eq(["p", "q"]));
    assert_eq!((select.limit, select.filtering, select.aggregates), (Limit::Rows(7), true, true));
    assert_eq!(select.functions, [(Some("ks".to_owned()), "f".to_owned())]);
    assert!(!select.nearest);
    let select = Select::parse("SELECT a FROM t ORDER BY v ANN OF :v LIMIT :n").unwrap();
    assert!(select.nearest && select.limit == Limit::Marker && !select.aggregates);
    assert_eq!(select.markers, [Some("v".to_owned()), Some("n".to_owned())]);
    for native in ["now()", "toTimestamp(a)", "blobAsInt(a)", "text_as_blob(a)", "system.now()", "TOKEN(a)"] {
        let select = Select::parse(&format!("SELECT {native} FROM t")).unwrap();
        assert_eq!(select.functions, [], "{native}");
        assert!(!select.aggregates);
    }
    for other in ["evil(a)", "blobAsEvil(a)", "ks.now()", "\"NOW\"()"] {
        assert_eq!(Select::parse(&format!("SELECT {other} FROM t")).unwrap().functions.len(), 1, "{other}");
    }
}

#[test]
fn values_stand_in_the_order_of_their_markers() {
    let by_place = Select::parse("SELECT a FROM t WHERE a = ? AND b = ? LIMIT ?").unwrap();
    assert_eq!(by_place.values(Some(&json!([1, "x", 5]))).unwrap(), [json!(1), json!("x"), json!(5)]);
    let by_name = Select::parse("SELECT a FROM t WHERE a = :y AND b = :X AND c = :y").unwrap();
    assert_eq!(by_name.values(Some(&json!({"x": 1, "y": 2}))).unwrap(), [json!(2), json!(1), json!(2)]);
    let none = Select::parse("SELECT a FROM t").unwrap();
    for given in [None, Some(&json!(null)), Some(&json!([])), Some(&json!({}))] {
        assert_eq!(none.values(given).unwrap(), [(); 0].map(|()| json!(0)));
    }
    for (select, given) in [
        (&by_place, json!([1, 2])),
        (&by_place, json!([1, 2, 3, 4])),
        (&by_place, json!({"a": 1, "b": 2, "c": 3})),
        (&by_place, json!("x")),
        (&by_name, json!([1, 2, 3])),
        (&by_name, json!({"x": 1})),
        (&by_name, json!({"x": 1, "y": 2, "z": 3})),
        (&none, json!([1])),
        (&none, json!({"x": 1})),
    ] {
        assert!(select.values(Some(&given)).is_err(), "{given}");
    }
    assert!(by_place.values(None).is_err());
}

/// Statements of random words: whatever comes through is one SELECT, and understood the same when it is read again.
#[test]
fn random_statements_are_understood_the_same_twice() {
    const WORDS: [&str; 48] = [
        "SELECT",
        "FROM",
        "WHERE",
        "t",
        "a",
        "b",
        "\"C\"",
        "*",
        ",",
        ".",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "=",
        "<",
        ">=",
        "AND",
        "IN",
        "?",
        ":x",
        "1",
        "-2",
        "1.5",
        "'s'",
        "'it''s; DROP'",
        "$$x;y$$",
        ";",
        "DROP",
        "TABLE",
        "--x\n",
        "/*y*/",
        "LIMIT",
        "5",
        "ALLOW",
        "FILTERING",
        "ORDER",
        "BY",
        "ANN",
        "OF",
        "count",
        "max",
        "GROUP",
        "DISTINCT",
        "JSON",
        "AS",
    ];
    let mut random = fastrand::Rng::with_seed(7);
    let mut through = 0;
    for _ in 0..60_000 {
        let mut text = String::new();
        if random.u8(..4) > 0 {
            text.push_str("SELECT a FROM t ");
        }
        for _ in 0..random.usize(..12) {
            text.push_str(random.choice(WORDS).unwrap());
            if random.bool() {
                text.push(' ');
            }
        }
        let Ok(select) = Select::parse(&text) else { continue };
        through += 1;
        let written = select.text("ks", 11);
        let mut again =
            Select::parse(&written).unwrap_or_else(|error| panic!("{text} as {written}: {error}"));
        assert_eq!(again.text("ks", 11), written, "{text}");
        assert_eq!(again.columns.len(), select.columns.len(), "{text}");
        // The limit's own marker is not written.
        again.markers.extend((select.limit == Limit::Marker).then_some(None));
        assert_eq!(again.markers.len(), select.markers.len(), "{text}");
        assert!(words(&written).unwrap().iter().all(|token| token.kind != Kind::Mark(";")), "{text}");
    }
    assert!(through > 1_000, "{through}");
}
