use store_core::Severity;

use crate::{DynamoDbEntity, DynamoDbIndex, DynamoDbTableDesign};

fn found(design: &DynamoDbTableDesign) -> Vec<String> {
    let findings = design.lint().unwrap();
    let told = findings.into_iter().map(|finding| {
        let severity = if finding.severity == Severity::Warning { "warning" } else { "note" };
        format!("{severity} {}: {}", finding.subject, finding.message)
    });
    told.collect()
}

#[track_caller]
fn one(partition: &str, sort: &str, wanted: Option<&str>) {
    let entity = DynamoDbEntity::new("a", partition, sort);
    let found = found(&DynamoDbTableDesign::new("shop").with_entity(entity));
    match wanted {
        None => assert_eq!(found, Vec::<String>::new()),
        Some(wanted) => assert!(found.iter().any(|found| found.contains(wanted)), "{found:?}"),
    }
}

#[test]
fn each_fault_is_found() {
    one("USER#{user_id:..64}", "EVENT#{at:time}#{id:..64}", None);
    one("USER#{userId:..64}", "PROFILE", None);
    one("ALL", "{id:..9}", Some("warning entity a, key pk (ALL): all its items are in one partition"));
    one(
        "STATUS#{status:..9}",
        "{id:..9}",
        Some("warning entity a, key pk (STATUS#{status:..9}): fields of few values"),
    );
    one("{isOpen}", "{id:..9}", Some("fields of few values"));
    one("DAY#{day:date}", "{id:..9}", Some("warning entity a, key pk (DAY#{day:date}): time alone"));
    one("{createdAt:..30}", "{id:..9}", Some("time alone"));
    one(
        "{type:..9}#{day:date}",
        "{id:..9}",
        Some("note entity a, key pk ({type:..9}#{day:date}): time and fields"),
    );
    one("{id:..9}", "{at:time}", Some("same key"));
    one("{id:..9}", "{timestamp:..30}#{x:..9}", Some("timestamp looks like a time or a number"));
    one("{id:..9}", "{price:..9}#{x:..9}", Some("price looks like a time or a number"));
    one("{a:..2000}#{b:..100}", "X", Some("it may take 2101 bytes, the limit is 2048"));
    one("{x:..9}", "{a:..1000}#{b:..100}", Some("it may take 1101 bytes, the limit is 1024"));
    one("{user}", "X", Some("note entity a: nothing bounds user"));
}

#[test]
fn indexes_are_looked_at() {
    let entity = DynamoDbEntity::new("a", "{id:..9}", "X").with_index("copy", "{id:..9}", "{name:..9}");
    let design = DynamoDbTableDesign::new("shop")
        .with_index(DynamoDbIndex::global("copy", "gsi1pk", "gsi1sk"))
        .with_index(DynamoDbIndex::local("local", "lsi1sk"))
        .with_entity(entity);
    let found = found(&design);
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(
        found[0]
            .starts_with("warning entity a, key gsi1pk ({id:..9}): the global index copy has the partitions")
    );
    assert!(found[1].starts_with("warning index local: no entity"));
    assert!(found[2].starts_with("note index local: it is a local index"));
}
