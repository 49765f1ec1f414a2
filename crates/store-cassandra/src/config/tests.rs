use secrecy::ExposeSecret;
use store_core::ErrorKind;

use super::*;

fn parsed(url: &str) -> CassandraConfig {
    url.parse().unwrap_or_else(|error| panic!("{url}: {error}"))
}

fn message(url: &str) -> String {
    let error = url.parse::<CassandraConfig>().expect_err(url);
    assert_eq!(error.kind(), ErrorKind::Config, "{url}");
    error.to_string()
}

#[test]
fn a_url_says_everything() {
    let config = parsed(
        "cassandra://us%40er:p%40ss@a,b:1,[::1]:2/ks?datacenter=dc1&load_balancing=round_robin&tls=true&tlsCAFile=/ca&\
         tlsCertificateFile=/cert&tlsKeyFile=/key&tlsHostName=db&compression=lz4&poolSize=2&connectTimeoutMS=7&\
         reconnectMaxDelayMS=8&speculativeDelayMS=9&store.namespace=n&store.create=true&store.replication=dc1:3,dc2:2&\
         store.read_consistency=ONE&store.write_consistency=each_quorum&store.local_serial=false&\
         store.operation_timeout_ms=11",
    );
    let connection = &config.connection;
    assert_eq!(connection.hosts, ["a", "b:1", "[::1]:2"]);
    assert_eq!(connection.user.as_deref(), Some("us@er"));
    assert_eq!(connection.password.as_ref().map(ExposeSecret::expose_secret), Some("p@ss"));
    assert_eq!(connection.datacenter.as_deref(), Some("dc1"));
    assert_eq!(connection.load_balancing, Some(CassandraBalancingPolicy::RoundRobin));
    assert_eq!(connection.tls, Some(true));
    assert_eq!(connection.tls_host_name.as_deref(), Some("db"));
    assert_eq!(connection.compression, Some(CassandraCompression::Lz4));
    assert_eq!(connection.pool_size, Some(2));
    assert_eq!(connection.speculative_delay, Some(Duration::from_millis(9)));
    assert_eq!(config.keyspace.as_deref(), Some("ks"));
    assert_eq!(config.namespace.as_deref(), Some("n"));
    assert!(config.create && !config.local_serial);
    assert_eq!(config.read_consistency, CassandraConsistency::One);
    assert_eq!(config.write_consistency, CassandraConsistency::EachQuorum);
    assert_eq!(config.operation_timeout, Duration::from_millis(11));
    assert_eq!(config.replication.to_cql(), "{'class': 'NetworkTopologyStrategy', 'dc1': 3, 'dc2': 2}");
}

#[test]
fn what_is_left_out_has_its_default() {
    let config = parsed("cassandra://");
    assert_eq!((config.keyspace, config.namespace, config.create), (None, None, false));
    assert_eq!(config.read_consistency, CassandraConsistency::LocalQuorum);
    assert_eq!(config.replication.to_cql(), "{'class': 'SimpleStrategy', 'replication_factor': 1}");
    assert_eq!(parsed("cassandra://h/").keyspace, None);
}

#[test]
fn what_can_not_be_is_refused() {
    for (url, says) in [
        ("mongodb://h", "does not begin with cassandra://"),
        ("cassandra://h/ks#x", "%23"),
        ("cassandra://h/ks?x=1", "unknown option \"x\""),
        ("cassandra://h/ks?store.x=1", "unknown option \"store.x\""),
        ("cassandra://h/ks?tls=maybe", "tls must be true or false"),
        ("cassandra://h/ks?tls=true&tls=true", "twice"),
        ("cassandra://h/ks?store.create=true&store.create=true", "twice"),
        ("cassandra://h/ks?tlsCAFile=/x", "not encrypted"),
        ("cassandra://h/ks?tls=true&tlsKeyFile=/x", "without tlsCertificateFile"),
        ("cassandra://h/k-s", "not allowed"),
        ("cassandra://h:port/ks", "host"),
        ("cassandra://h,,b/ks", "host"),
        ("cassandra://user@h/ks", "user without a password"),
        ("cassandra://h/ks?poolSize=0", "poolSize"),
        ("cassandra://h/ks?connectTimeoutMS=0", "at least 1"),
        ("cassandra://h/ks?store.operation_timeout_ms=0", "timeout"),
        ("cassandra://h/ks?store.read_consistency=each_quorum", "each_quorum"),
        ("cassandra://h/ks?store.read_consistency=two", "local_quorum"),
        ("cassandra://h/ks?store.replication=dc1", "dc1:3"),
        ("cassandra://h/ks?store.replication=0", "at least 1"),
    ] {
        let message = message(url);
        assert!(message.contains(says), "{url}: {message}");
    }
}

#[test]
fn secrets_are_not_shown() {
    let config = parsed("cassandra://app:s3cret@h/ks");
    assert!(!format!("{config:?}").contains("s3cret"));
    for url in
        ["cassandra://app:s3cret@h/ks?x", "cassandra://app:s3c%ret@h/ks", "cassandra://a:s3cret:b@h/ks"]
    {
        assert!(!message(url).contains("s3c"), "{url}");
    }
}

#[test]
fn a_configuration_is_read_from_a_file() {
    let text = r#"{"connection": {"hosts": ["a"], "user": "u", "password": "p", "load_balancing": "token_aware"},
        "keyspace": "ks", "replication": {"simple": 3}, "write_consistency": "quorum", "operation_timeout_ms": 5}"#;
    let config: CassandraConfig = serde_json::from_str(text).unwrap();
    assert_eq!(config.replication, CassandraReplication::Simple(3));
    assert_eq!(config.write_consistency, CassandraConsistency::Quorum);
    assert!(serde_json::from_str::<CassandraConfig>(r#"{"nope": 1}"#).is_err());
}
