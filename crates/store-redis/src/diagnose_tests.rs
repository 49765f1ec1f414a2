use super::*;

fn subjects(findings: impl IntoIterator<Item = Finding>) -> Vec<String> {
    findings.into_iter().map(|finding| finding.subject).collect()
}

fn info(lines: &str) -> Info {
    Info(lines.replace('\n', "\r\n"))
}

/// A server where all is well.
const WELL: &str = "role:master\nconnected_slaves:1\nmaxmemory:1000\nused_memory:100\nmaxmemory_policy:noeviction\n\
                    rdb_last_bgsave_status:ok\naof_last_write_status:ok\nconnected_clients:3\nmaxclients:100\n";

#[test]
fn what_a_server_tells_of_itself_is_judged() {
    let found = |change: &str, to: &str| {
        let info = info(&WELL.replace(change, to));
        subjects(info_findings(&info, Topology::Sentinel, false))
    };
    assert!(found("", "").is_empty());
    assert_eq!(found("noeviction", "allkeys-lru"), ["eviction"]);
    assert_eq!(found("noeviction", "volatile-ttl"), ["eviction"]);
    assert_eq!(found("maxmemory:1000", "maxmemory:0"), ["memory"]);
    assert_eq!(found("used_memory:100", "used_memory:950"), ["memory"]);
    assert_eq!(found("bgsave_status:ok", "bgsave_status:err"), ["saving"]);
    assert_eq!(found("write_status:ok", "write_status:err"), ["saving"]);
    assert_eq!(found("role:master", "role:slave"), ["not the primary"]);
    assert_eq!(found("slaves:1", "slaves:0"), ["replicas"]);
    assert_eq!(found("clients:3", "clients:95"), ["connections"]);
    let alone = info(&WELL.replace("slaves:1", "slaves:0"));
    assert!(info_findings(&alone, Topology::Single, false).is_empty());
    let warning = |policy: &str| {
        memory_findings(&info(&WELL.replace("noeviction", policy))).first().map(|found| found.severity)
    };
    assert_eq!(warning("allkeys-lfu"), Some(store_core::Severity::Warning));
    assert_eq!(warning("volatile-lru"), Some(store_core::Severity::Note));
}

#[test]
fn what_is_kept_on_disk_is_told() {
    let (off, on) = (info("aof_enabled:0\n"), info("aof_enabled:1\n"));
    assert_eq!(persistence(&off, Some(""), None), "none");
    assert_eq!(persistence(&off, Some("3600 1"), None), "snapshots");
    assert_eq!(persistence(&on, Some(""), Some("always")), "append-only file, on disk before each answer");
    assert!(persistence(&on, Some("60 1"), Some("everysec")).ends_with("once a second, and snapshots"));
    assert!(persistence(&off, None, None).contains("may not ask"));
    assert_eq!(subjects(not_kept(&off, Some(""))), ["persistence"]);
    for (info, saves) in [(&off, Some("60 1")), (&off, None), (&on, Some(""))] {
        assert_eq!(not_kept(info, saves), None);
    }
}

#[test]
fn settings_that_hurt_are_named() {
    let found = |connection: RedisConnection| subjects(setting_findings(&connection));
    let at = |host: &str| RedisConnection::default().with_hosts([host]);
    assert!(found(RedisConnection::default()).is_empty());
    for host in ["127.0.0.1:1", "localhost", "[::1]:6379"] {
        assert!(found(at(host)).is_empty(), "{host}");
    }
    assert_eq!(found(at("db")), ["TLS", "user"]);
    assert_eq!(found(at("db").with_tls(true)), ["user"]);
    assert!(found(at("db").with_tls(true).with_password("p")).is_empty());
    assert_eq!(found(RedisConnection::default().with_read_from_replicas(true)), ["readFromReplicas"]);
}

#[test]
fn topologies_are_told_apart() {
    let (one, replica) = (info("connected_slaves:1\n"), info("role:slave\n"));
    let plain = RedisConnection::default();
    let sentinel = RedisConnection::default().with_sentinel_service("m");
    assert_eq!(topology(&plain, false, &[one]), "single server, replicas: 1");
    assert_eq!(topology(&plain, false, &[replica]), "a replica");
    assert_eq!(topology(&plain, false, &[]), "single server");
    assert_eq!(
        topology(&sentinel, false, &[info("connected_slaves:2\n")]),
        "Sentinel, service m, replicas: 2"
    );
    assert_eq!(topology(&plain, true, &[info(""), info("")]), "cluster, 2 primaries, replicas: 0");
}

#[test]
fn clocks_differ_only_beyond_the_time_the_question_took() {
    let at = Duration::from_millis;
    assert_eq!(difference(at(1000), at(1500), at(2000)), Duration::ZERO);
    assert_eq!(difference(at(1000), at(400), at(2000)), at(600));
    assert_eq!(difference(at(1000), at(9000), at(2000)), at(7000));
    assert_eq!(skewed(Duration::from_secs(5)), None);
    assert!(skewed(Duration::from_secs(7)).unwrap().message.contains("7 s"));
}

#[test]
fn releases_times_and_rights_are_told() {
    assert_eq!(subjects(old("redis", "6.2.14")), ["version"]);
    for (product, version) in [("redis", "7.0.15"), ("redis", "8.2.3"), ("valkey", "8.1"), ("redis", "")] {
        assert_eq!(old(product, version), None);
    }
    assert_eq!(far(Duration::from_millis(3)), None);
    assert!(far(Duration::from_millis(31)).unwrap().message.contains("31.0 ms"));
    assert_eq!(shown(Duration::from_micros(85)), "85 µs");
    let config = RedisConfig::default().with_namespace("kb");
    assert_eq!(lacking(&config, &[]), None);
    let finding = lacking(&config, &["HDEL", "EVAL"]).unwrap();
    assert!(finding.message.contains("HDEL, EVAL") && finding.advice.contains("~kb:*"), "{finding:?}");
}
