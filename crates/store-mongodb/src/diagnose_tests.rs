use super::*;

fn subjects(findings: impl IntoIterator<Item = Finding>) -> Vec<String> {
    findings.into_iter().map(|finding| finding.subject).collect()
}

async fn opened(url: &str) -> Vec<String> {
    subjects(opened_findings(&Opened::new(&ClientOptions::parse(url).await.unwrap())))
}

#[tokio::test]
async fn settings_that_hurt_are_named() {
    assert!(opened("mongodb://127.0.0.1,localhost:1").await.is_empty());
    assert!(opened("mongodb://u:p@db/?tls=true").await.is_empty());
    assert_eq!(opened("mongodb://db").await, ["TLS", "user"]);
    assert_eq!(opened("mongodb://u:p@db/?tlsInsecure=true").await, ["TLS"]);
    assert_eq!(opened("mongodb://localhost/?retryWrites=false").await, ["retryWrites"]);
    assert_eq!(opened("mongodb://localhost/?maxPoolSize=1").await, ["maxPoolSize"]);
    assert_eq!(opened("mongodb://localhost/?maxPoolSize=900").await, ["maxPoolSize"]);
}

#[test]
fn topologies_are_told_apart() {
    let one = Topology::new(&doc! {"setName": "rs0", "hosts": ["a:1"], "isWritablePrimary": true});
    assert_eq!(one.to_string(), "replica set rs0, one member");
    assert!(one.findings().is_empty());
    let set =
        doc! {"setName": "rs0", "hosts": ["a:1", "b:1"], "arbiters": ["c:1"], "isWritablePrimary": true};
    let set = Topology::new(&set);
    assert_eq!(set.to_string(), "replica set rs0, 2 members, arbiters: 1");
    assert_eq!(subjects(set.findings()), ["arbiter"]);
    let single = Topology::new(&doc! {"isWritablePrimary": true});
    assert_eq!(single.to_string(), "single server");
    assert_eq!(subjects(single.findings()), ["single server"]);
    let router = Topology::new(&doc! {"msg": "isdbgrid", "isWritablePrimary": true});
    assert_eq!(router.to_string(), "sharded cluster");
    assert!(router.findings().is_empty());
    let secondary =
        Topology::new(&doc! {"setName": "rs0", "hosts": ["a:1", "b:1", "c:1"], "secondary": true});
    assert_eq!(subjects(secondary.findings()), ["not the primary"]);
}

#[test]
fn releases_without_repairs_are_named() {
    let old = |major: i32, minor: i32| old(&doc! {"versionArray": [major, minor, 1, 0]}, "x");
    assert!(old(4, 2).unwrap().message.contains("February 2024"));
    assert!(old(5, 3).unwrap().message.contains("July 2025"));
    assert!(old(6, 0).unwrap().message.contains("July 2025"));
    assert_eq!(old(7, 0), None);
    assert_eq!(old(8, 2), None);
}

#[test]
fn clocks_differ_only_beyond_the_time_the_question_took() {
    let at = |millis: i64| DateTime::from_millis(millis);
    assert_eq!(skew(at(1000), at(1500), at(2000)), Duration::ZERO);
    assert_eq!(skew(at(1000), at(400), at(2000)), Duration::from_millis(600));
    assert_eq!(skew(at(1000), at(9000), at(2000)), Duration::from_secs(7));
    assert_eq!(skewed(Duration::from_secs(5)), None);
    assert!(skewed(Duration::from_secs(7)).unwrap().message.contains("7 s"));
}

#[test]
fn space_and_the_log_of_changes_have_limits() {
    assert_eq!(little_space(20e9, 100e9), None);
    assert!(little_space(9e9, 100e9).unwrap().message.contains("9.0 GB of 100.0 GB"));
    assert_eq!(short_log(Duration::from_hours(2)), None);
    assert!(short_log(Duration::from_mins(30)).unwrap().message.contains("30 minutes"));
}
