//! The tool on a real node, named by `STORE_TEST_CASSANDRA_URL`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by a panic")]

use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};
use store_cassandra::{
    CassandraBackend, CassandraConfig, CassandraSession, CassandraTool, CqlQuery, SelectOp, TableSelect,
};
use store_conformance::server;
use store_core::{Backend as _, Error, ErrorKind};

const SERVER: &str = "STORE_TEST_CASSANDRA_URL";

fn main() -> ExitCode {
    store_conformance::tests_on! {
        SERVER;
        every_type_is_read_and_bound,
        answers_keep_their_limits,
        only_listed_tables_are_read,
        errors_say_what_to_do,
        nothing_is_ever_written,
        a_model_calls_by_name,
    }
}

/// A store of the test's own, whose tables begin with its namespace.
struct Place {
    store: CassandraBackend,
    keyspace: String,
    namespace: String,
}

impl Place {
    async fn new(test: &str) -> Self {
        let config: CassandraConfig = server::url(SERVER).unwrap().parse().unwrap();
        let namespace = format!("tool{test}{}", std::process::id());
        let config = config.with_namespace(&namespace).with_operation_timeout(Duration::from_mins(1));
        let keyspace = config.keyspace.clone().unwrap_or_else(|| "nodestore".to_owned());
        let store = CassandraBackend::connect(config).await.unwrap();
        let place = Self { store, keyspace, namespace };
        place
            .run(&format!(
                "CREATE KEYSPACE IF NOT EXISTS \"{}\" WITH replication = {{'class': 'SimpleStrategy', \
                 'replication_factor': 1}}",
                place.keyspace
            ))
            .await;
        place
    }

    fn name(&self, table: &str) -> String {
        format!("{}_{table}", self.namespace)
    }

    /// `{name}` is a table of the test, without its keyspace.
    fn filled(&self, text: &str) -> String {
        text.replace('{', &format!("{}_", self.namespace)).replace('}', "")
    }

    /// Runs a statement past the tool.
    async fn run(&self, text: &str) {
        let CassandraSession::Tcp(session) = self.store.session().unwrap() else {
            unreachable!("no TLS here")
        };
        session.query(text).await.unwrap();
    }

    async fn make(&self, table: &str, columns: &str) {
        self.run(&format!("CREATE TABLE \"{}\".{} {columns}", self.keyspace, self.name(table))).await;
    }

    async fn insert(&self, table: &str, json: &Value) {
        let json = json.to_string().replace('\'', "''");
        self.run(&format!("INSERT INTO \"{}\".{} JSON '{json}'", self.keyspace, self.name(table))).await;
    }

    fn tool(&self) -> CassandraTool {
        CassandraTool::new(&self.store).with_deadline(Duration::from_mins(1))
    }

    async fn query(&self, tool: &CassandraTool, text: &str, values: Value) -> Result<Value, Error> {
        let rows = tool.query(&CqlQuery::new(self.filled(text)).with_values(values)).await?;
        Ok(json!(rows.rows))
    }

    async fn error(&self, tool: &CassandraTool, text: &str) -> Error {
        self.query(tool, text, Value::Null).await.unwrap_err()
    }

    async fn end(self) {
        self.store.drop_namespace().await.unwrap();
    }
}

/// A column for each type, its literal in CQL, and its JSON.
fn every_type(udt: &str) -> Vec<(&'static str, String, &'static str, Value)> {
    let of = |name, kind: &str, cql, json| (name, kind.to_owned(), cql, json);
    vec![
        of("c_ascii", "ascii", "'abc'", json!("abc")),
        of("c_bigint", "bigint", "9007199254740993", json!(9_007_199_254_740_993_i64)),
        of("c_blob", "blob", "0x00ff", json!("0x00ff")),
        of("c_boolean", "boolean", "true", json!(true)),
        of("c_date", "date", "'2024-02-29'", json!("2024-02-29")),
        of("c_decimal", "decimal", "-12.50", json!("-12.50")),
        of("c_double", "double", "0.1", json!(0.1)),
        of("c_duration", "duration", "1y2mo3d4h5m6s7ms8us9ns", json!("1y2mo3d4h5m6s7ms8us9ns")),
        of("c_float", "float", "0.1", json!(0.1)),
        of("c_inet", "inet", "'2001:db8::1'", json!("2001:db8::1")),
        of("c_int", "int", "-7", json!(-7)),
        of("c_smallint", "smallint", "-32768", json!(-32_768)),
        of("c_text", "text", "'Zażółć ''x'''", json!("Zażółć 'x'")),
        of("c_time", "time", "'08:12:54.123456789'", json!("08:12:54.123456789")),
        of("c_timestamp", "timestamp", "'2024-05-01T12:00:00.250Z'", json!("2024-05-01T12:00:00.25Z")),
        of(
            "c_timeuuid",
            "timeuuid",
            "50554d6e-29bb-11e5-b345-feff819cdc9f",
            json!("50554d6e-29bb-11e5-b345-feff819cdc9f"),
        ),
        of("c_tinyint", "tinyint", "127", json!(127)),
        of(
            "c_uuid",
            "uuid",
            "123e4567-e89b-12d3-a456-426614174000",
            json!("123e4567-e89b-12d3-a456-426614174000"),
        ),
        of("c_varint", "varint", "-123456789012345678901234567890", json!("-123456789012345678901234567890")),
        of("c_list", "frozen<list<int>>", "[1, 2]", json!([1, 2])),
        of("c_set", "frozen<set<text>>", "{'b', 'a'}", json!(["a", "b"])),
        of("c_map", "frozen<map<int, text>>", "{5: 'x'}", json!({"5": "x"})),
        of(
            "c_deep",
            "frozen<map<text, frozen<list<date>>>>",
            "{'k': ['1970-01-02']}",
            json!({"k": ["1970-01-02"]}),
        ),
        of("c_tuple", "frozen<tuple<int, text>>", "(1, null)", json!([1, null])),
        ("c_udt", format!("frozen<{udt}>"), "{street: 'x', no: 5}", json!({"street": "x", "no": 5})),
        of("c_vector", "vector<float, 3>", "[0.1, -2.5, 3]", json!([0.1, -2.5, 3.0])),
        of("c_vector_text", "vector<text, 2>", "['a', 'bc']", json!(["a", "bc"])),
        of("c_vector_small", "vector<smallint, 2>", "[1, -1]", json!([1, -1])),
        of("c_vector_tiny", "vector<tinyint, 2>", "[1, -1]", json!([1, -1])),
        of("c_vector_date", "vector<date, 1>", "['1970-01-02']", json!(["1970-01-02"])),
        of("c_vector_time", "vector<time, 1>", "['00:00:01']", json!(["00:00:01.000000000"])),
        of("c_vector_vector", "vector<vector<int, 2>, 2>", "[[1, 2], [3, 4]]", json!([[1, 2], [3, 4]])),
    ]
}

async fn every_type_is_read_and_bound() {
    let place = Place::new("types").await;
    let udt = place.name("address");
    let keyspace = &place.keyspace;
    place.run(&format!("CREATE TYPE \"{keyspace}\".{udt} (street text, no int)")).await;
    let types = every_type(&udt);
    let columns: Vec<String> = types.iter().map(|(name, kind, ..)| format!("{name} {kind}")).collect();
    place.make("every", &format!("(id int PRIMARY KEY, {}, c_null text)", columns.join(", "))).await;
    let names: Vec<&str> = types.iter().map(|(name, ..)| *name).collect();
    let literals: Vec<&str> = types.iter().map(|(_, _, cql, _)| *cql).collect();
    place
        .run(&format!(
            "INSERT INTO \"{keyspace}\".{} (id, {}) VALUES (1, {})",
            place.name("every"),
            names.join(", "),
            literals.join(", ")
        ))
        .await;
    let tool = place.tool().with_scans(true);
    let select = TableSelect::new(place.name("every")).with_condition("id", SelectOp::Equal, 1);
    let answer = tool.select_table_data(&select).await.unwrap();
    let [row] = answer.rows.as_slice() else { panic!("{answer:?}") };
    for (name, kind, _, json) in &types {
        assert_eq!(row.get(*name), Some(json), "{name}");
        let shown = kind.replace("frozen<", "").replace('>', "");
        let found = answer.columns.iter().find(|column| column.name == *name).unwrap();
        assert_eq!(found.r#type.replace('>', ""), shown, "{name}");
        // The server takes for equal what was read.
        let same = format!("SELECT id FROM {{every}} WHERE id = 1 AND {name} = ? ALLOW FILTERING");
        assert_eq!(place.query(&tool, &same, json!([json])).await.unwrap(), json!([{"id": 1}]), "{name}");
    }
    assert_eq!(row.get("c_null"), Some(&Value::Null));

    place.make("counts", "(id int PRIMARY KEY, n counter)").await;
    place.run(&format!("UPDATE \"{keyspace}\".{} SET n = n + 5 WHERE id = 1", place.name("counts"))).await;
    let counted = place.query(&tool, "SELECT n FROM {counts} WHERE id = 1", json!([])).await.unwrap();
    assert_eq!(counted, json!([{"n": 5}]));
    // What does not fit is told with its type, before it is sent.
    let wrong = place.query(&tool, "SELECT id FROM {every} WHERE id = ?", json!(["one"])).await.unwrap_err();
    assert!(wrong.message().starts_with("value 1 (id) is of type int, and \"one\" is none"), "{wrong}");
    place.run(&format!("DROP TABLE \"{keyspace}\".{}", place.name("every"))).await;
    place.run(&format!("DROP TYPE \"{keyspace}\".{udt}")).await;
    place.end().await;
}

async fn events(place: &Place, rows: i64) {
    place
        .make(
            "events",
            "(day text, n int, \"userId\" text, tags map<text, text>, parts set<text>, PRIMARY KEY (day, n))",
        )
        .await;
    for n in 0..rows {
        let row = json!({
            "day": "d1", "n": n, "\"userId\"": format!("u{}", n % 3), "tags": {"k": format!("v{n}")},
            "parts": [format!("p{}", n % 2)]
        });
        place.insert("events", &row).await;
    }
}

async fn answers_keep_their_limits() {
    let place = Place::new("limits").await;
    events(&place, 60).await;
    let tool = place.tool().with_rows(10, 30);
    let all = "SELECT n FROM {events} WHERE day = 'd1'";
    let rows = async |tool: &CassandraTool, query: CqlQuery| {
        let answer = tool.query(&query).await.unwrap();
        (answer.rows.len(), answer.more)
    };
    let query = |text: &str| CqlQuery::new(place.filled(text));
    assert_eq!(rows(&tool, query(all)).await, (10, true));
    assert_eq!(rows(&tool, query(all).with_limit(25)).await, (25, true));
    assert_eq!(rows(&tool, query(all).with_limit(1_000_000)).await, (30, true));
    assert_eq!(rows(&tool, query(&format!("{all} LIMIT 20"))).await, (20, false));
    assert_eq!(rows(&tool, query(&format!("{all} LIMIT 20")).with_limit(5)).await, (5, true));
    assert_eq!(rows(&tool, query(&format!("{all} LIMIT 500"))).await, (30, true));
    assert_eq!(rows(&tool, query(&format!("{all} LIMIT ?")).with_values(json!([7]))).await, (7, false));
    assert_eq!(rows(&tool, query(&format!("{all} AND n >= 55"))).await, (5, false));
    let many = place.tool().with_rows(1_000, 1_000);
    assert_eq!(rows(&many, query(all)).await, (60, false));
    assert_eq!(rows(&many, query(&format!("{all} PER PARTITION LIMIT 3"))).await, (3, false));
    // {"n":0} and a comma are 8 bytes.
    assert_eq!(rows(&many, query(all).with_max_bytes(40)).await, (5, true));
    assert_eq!(rows(&many.clone().with_bytes(40, 80), query(all).with_max_bytes(1_000)).await, (10, true));

    let large = "x".repeat(100_000);
    place.insert("events", &json!({"day": "d2", "n": 1, "\"userId\"": large})).await;
    let error = place.error(&many, "SELECT * FROM {events} WHERE day = 'd2'").await;
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
    assert!(error.message().contains("without userId"), "{error}");
    let late = place.tool().with_deadline(Duration::ZERO);
    assert_eq!(place.error(&late, all).await.kind(), ErrorKind::Timeout);
    assert_eq!(late.schema(None, None).await.unwrap_err().kind(), ErrorKind::Timeout);
    place.end().await;
}

async fn only_listed_tables_are_read() {
    let place = Place::new("scope").await;
    place.make("open", "(id int PRIMARY KEY, a text)").await;
    place.make("secret", "(id int PRIMARY KEY, a text)").await;
    let (open, secret) = (place.name("open"), place.name("secret"));
    let tool = place.tool().with_tables(&place.keyspace, [&open]);
    assert_eq!(place.query(&tool, "SELECT * FROM {open}", json!([])).await.unwrap(), json!([]));
    let keyspace = &place.keyspace;
    let refused = [
        format!("SELECT * FROM {secret}"),
        format!("SELECT * FROM \"{keyspace}\".{secret}"),
        format!("SELECT * FROM \"{keyspace}\" . /* x */ \"{secret}\""),
        "SELECT * FROM system.local".to_owned(),
        "SELECT * FROM \"system_schema\".tables".to_owned(),
        "SELECT * FROM system_auth.roles".to_owned(),
        "SELECT * FROM system_views.clients".to_owned(),
        "SELECT * FROM other.t".to_owned(),
    ];
    for text in &refused {
        let error = tool.query(&CqlQuery::new(text)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthorized, "{text}: {error}");
        assert!(error.message().contains("these may: "), "{error}");
    }
    let everything =
        place.tool().with_keyspace("system").with_keyspace("system_auth").with_keyspace(keyspace);
    let error = everything.query(&CqlQuery::new("SELECT * FROM system.local")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
    let select = TableSelect::new("roles").with_keyspace("system_auth");
    assert_eq!(everything.select_table_data(&select).await.unwrap_err().kind(), ErrorKind::Unauthorized);
    assert_eq!(everything.schema(Some("system"), None).await.unwrap_err().kind(), ErrorKind::Unauthorized);
    let shown = everything.schema(None, None).await.unwrap();
    assert!(shown.tables.iter().all(|table| table.keyspace == *keyspace));
    assert!(shown.tables.iter().any(|table| table.name == secret));
    let shown = tool.schema(None, None).await.unwrap();
    assert_eq!(shown.tables.iter().map(|table| &table.name).collect::<Vec<_>>(), [&open]);
    assert_eq!(tool.schema(None, Some(&secret)).await.unwrap_err().kind(), ErrorKind::Unauthorized);
    let missing = tool.query(&CqlQuery::new(place.filled("SELECT * FROM \"{open}x\""))).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::Unauthorized);
    place.end().await;
}

async fn errors_say_what_to_do() {
    let place = Place::new("errors").await;
    events(&place, 4).await;
    place
        .run(&format!(
            "CREATE CUSTOM INDEX {} ON \"{}\".{} (\"userId\") USING 'StorageAttachedIndex'",
            place.name("by_user"),
            place.keyspace,
            place.name("events")
        ))
        .await;
    let tool = place.tool();
    let full = format!("{}.{}", place.keyspace, place.name("events"));
    let says = async |text: &str, kind: ErrorKind, what: &str| {
        let error = place.error(&tool, text).await;
        assert_eq!(error.kind(), kind, "{text}: {error}");
        let what = what.replace("{events}", &full);
        assert!(error.message().contains(&what), "{text}: {error}");
    };
    let (wrong, not_allowed) = (ErrorKind::InvalidInput, ErrorKind::Unauthorized);
    says(
        "SELECT x FROM {events} WHERE day = 'd1'",
        wrong,
        "{events} has no column x; it has day, n, parts, tags, userId",
    )
    .await;
    says("SELECT userId FROM {events}", wrong, "double quotes: \"userId\"").await;
    says("SELECT * FROM {events} WHERE \"USERID\" = 'u1'", wrong, "did you mean userId?").await;
    says("SELECT * FROM {missing}", ErrorKind::NotFound, &place.name("events")).await;
    says("SELECT * FROM {events} WHERE n = 1", wrong, "name the whole partition key by = or IN (day)").await;
    says("SELECT * FROM {events} WHERE n = 1", wrong, "in this order (n), or what is indexed (\"userId\")")
        .await;
    says("SELECT * FROM {events} WHERE n = 1 ALLOW FILTERING", not_allowed, "name the whole partition key")
        .await;
    says("SELECT count(*) FROM {events}", not_allowed, "name its partition key by = or IN: day").await;
    says("SELECT count(*) FROM {events} WHERE day > 'a'", not_allowed, "name its partition key").await;
    says("SELECT n FROM {events} GROUP BY day", not_allowed, "name its partition key").await;
    says(
        "SELECT evil(n) FROM {events} WHERE day = 'd1'",
        not_allowed,
        "the function evil is none of Cassandra's own",
    )
    .await;
    says("SELECT * FROM {events} WHERE day = 'd1' OR n = 1", wrong, "CQL has no OR").await;
    says("SELECT * FROM {events} WHERE day = 5", wrong, "the node refuses the statement").await;
    says(
        "SELECT * FROM {events} WHERE day = 'd1' ORDER BY \"userId\"",
        wrong,
        "the node refuses the statement",
    )
    .await;
    says("SELECT * FROM {events} WHERE day = ?", wrong, "has 1 markers (?), and 0 values are given").await;
    let gone = CassandraTool::new(&place.store).with_keyspace("nowhere");
    let error = gone.query(&CqlQuery::new("SELECT * FROM nowhere.t")).await.unwrap_err();
    assert!(
        error.kind() == ErrorKind::NotFound && error.message().contains("no keyspace nowhere"),
        "{error}"
    );

    let scans = place.tool().with_scans(true);
    let found =
        place.query(&scans, "SELECT n FROM {events} WHERE n = 1 ALLOW FILTERING", json!([])).await.unwrap();
    assert_eq!(found, json!([{"n": 1}]));
    let counted = place.query(&scans, "SELECT count(*) FROM {events}", json!([])).await.unwrap();
    assert_eq!(counted, json!([{"count": 4}]));
    let counted = place.query(
        &tool,
        "SELECT count(*) AS \"N\", max(n) FROM {events} WHERE day IN ('d1', 'd2')",
        json!([]),
    );
    assert_eq!(counted.await.unwrap(), json!([{"N": 4, "system.max(n)": 3}]));
    place.end().await;
}

async fn nothing_is_ever_written() {
    let place = Place::new("hostile").await;
    events(&place, 2).await;
    let tool = place.tool().with_scans(true);
    for text in [
        "UPDATE {events} SET \"userId\" = 'x' WHERE day = 'd1' AND n = 0",
        "/* SELECT */ DELETE FROM {events} WHERE day = 'd1'",
        "SELECT * FROM {events}; DROP TABLE {events}",
        "SELECT * FROM {events} -- \n; TRUNCATE {events}",
        "BEGIN BATCH DELETE FROM {events} WHERE day = 'd1' APPLY BATCH",
        "INSERT INTO {events} JSON ''",
    ] {
        let error = place.error(&tool, text).await;
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{text}: {error}");
    }
    // These are harmless, and do not find anything.
    for text in [
        "SELECT n FROM {events} WHERE day = 'x''; DROP TABLE {events}; --'",
        "SELECT n FROM {events} WHERE day = $$x'; DROP TABLE {events}; --$$",
        "SELECT n /* ; DROP TABLE {events}; */ FROM {events} WHERE day = 'x' -- ; DROP TABLE {events}",
    ] {
        assert_eq!(place.query(&tool, text, json!([])).await.unwrap(), json!([]), "{text}");
    }
    let hostile = TableSelect::new(place.name("events")).with_columns(["n\" FROM system.local; --"]);
    assert_eq!(tool.select_table_data(&hostile).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    let found = place.query(&tool, "SELECT n, \"userId\" FROM {events}", json!([])).await.unwrap();
    assert_eq!(found, json!([{"n": 0, "userId": "u0"}, {"n": 1, "userId": "u1"}]));
    place.end().await;
}

async fn a_model_calls_by_name() {
    let place = Place::new("call").await;
    events(&place, 5).await;
    place.make("near", "(id int PRIMARY KEY, v vector<float, 2>) WITH comment = 'the vectors'").await;
    place
        .run(&format!(
            "CREATE CUSTOM INDEX {} ON \"{}\".{} (v) USING 'StorageAttachedIndex'",
            place.name("by_v"),
            place.keyspace,
            place.name("near")
        ))
        .await;
    for (id, v) in [(1, [1.0, 0.0]), (2, [0.0, 1.0]), (3, [0.7, 0.7])] {
        place.insert("near", &json!({"id": id, "v": v})).await;
    }
    let tool = place.tool();
    let names: Vec<&str> = tool.functions().iter().map(|function| function.name).collect();
    assert_eq!(names, ["cassandra_db_query", "cassandra_db_schema", "cassandra_db_select_table_data"]);

    let text = place.filled("SELECT n, \"userId\", tags FROM {events} WHERE day = :day AND n < :n");
    let arguments = json!({"query": text, "values": {"day": "d1", "n": 2}}).to_string();
    let answer = tool.call("cassandra_db_query", json!(arguments)).await.unwrap();
    assert_eq!(
        answer.text,
        "Row(n=0, userId='u0', tags={'k': 'v0'})\nRow(n=1, userId='u1', tags={'k': 'v1'})"
    );
    assert_eq!(answer.json["rows"][1]["tags"], json!({"k": "v1"}));
    assert_eq!(answer.json["columns"][2], json!({"name": "tags", "type": "map<text, text>"}));
    assert_eq!(answer.json["more"], json!(false));

    let select = json!({
        "table": place.name("events"), "columns": ["n"],
        "where": [{"column": "day", "value": "d1"}, {"column": "n", "op": "in", "value": [0, 2, 3, 4]}],
        "order_by": [{"column": "n", "descending": true}], "limit": 2
    });
    let answer = tool.call("select_table_data", select).await.unwrap();
    assert_eq!((&answer.json["rows"], &answer.json["more"]), (&json!([{"n": 4}, {"n": 3}]), &json!(true)));
    assert!(
        answer.text.ends_with("ask for a narrower part of them, or with a greater limit.)"),
        "{}",
        answer.text
    );
    let select = TableSelect::new(place.name("events")).with_columns(["n"]).with_limit(1);
    let select = select.with_condition("day", SelectOp::In, json!(["d0", "d1"]));
    assert_eq!(json!(tool.select_table_data(&select).await.unwrap().rows), json!([{"n": 0}]));
    let error = tool.select_table_data(&select.with_order("n", true)).await.unwrap_err();
    assert!(error.message().contains("ask once for each of them"), "{error}");
    let scans = place.tool().with_scans(true);
    let select = TableSelect::new(place.name("events")).with_columns(["n"]).with_entry("tags", "k", "v3");
    let error = scans.select_table_data(&select).await.unwrap_err();
    assert!(error.message().contains("or add ALLOW FILTERING"), "{error}");

    let near = "SELECT id, similarity_cosine(v, ?) AS s FROM {near} ORDER BY v ANN OF ?";
    let found = place.query(&tool, near, json!([[1.0, 0.0], [1.0, 0.0]])).await.unwrap();
    assert_eq!((&found[0]["id"], &found[1]["id"], &found[0]["s"]), (&json!(1), &json!(3), &json!(1.0)));
    let near = place.filled("SELECT id FROM {near} ORDER BY v ANN OF [0, 1] LIMIT 3");
    let found = tool.query(&CqlQuery::new(near).with_limit(1)).await.unwrap();
    assert_eq!((json!(found.rows), found.more), (json!([{"id": 2}]), true));

    let answer = tool.call("schema", json!({"table": place.name("events")})).await.unwrap();
    let expected = format!(
        "Table Name: {}\n- Keyspace: {}\n- Columns\n  - day (text)\n  - n (int)\n  - parts (set<text>)\n  - tags \
         (map<text, text>)\n  - userId (text)\n- Partition Keys: (day)\n- Clustering Keys: (n asc)\n\n\n",
        place.name("events"),
        place.keyspace
    );
    assert_eq!(answer.text, expected);
    let answer =
        tool.call("schema", json!({"keyspace": place.keyspace, "table": place.name("near")})).await.unwrap();
    let table = &answer.json["tables"][0];
    assert_eq!(
        (&table["comment"], &table["indexes"][0]["options"]["target"]),
        (&json!("the vectors"), &json!("v"))
    );
    // What does not fit is named.
    let small = place.tool().with_bytes(100, 100).schema(None, None).await.unwrap();
    assert!(
        small.tables.is_empty()
            && small.omitted.contains(&format!("{}.{}", place.keyspace, place.name("near")))
    );

    for (function, arguments) in [
        ("drop", json!({})),
        ("query", json!({})),
        ("query", json!("no JSON")),
        ("select_table_data", json!({"table": "t", "predicate": "1 = 1"})),
        ("schema", json!({"tables": []})),
    ] {
        let error = tool.call(function, arguments.clone()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{function} {arguments}");
    }
    let error = tool.call("schema", json!({"table": "nothing"})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    place.end().await;
}
