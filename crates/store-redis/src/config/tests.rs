use std::io::Write as _;

use fred::clients::Pool;
use fred::interfaces::ClientLike as _;
use fred::types::RespVersion;
use fred::types::config::{Config, ReconnectPolicy, ServerConfig};
use secrecy::ExposeSecret as _;
use store_core::ErrorKind;

use super::*;

fn resolve(mut config: RedisConfig) -> Result<(Pool, RedisConfig)> {
    Ok((config.pool()?, config))
}

fn open(url: &str) -> Result<(Pool, RedisConfig)> {
    resolve(url.parse()?)
}

fn driver(url: &str) -> Config {
    open(url).unwrap().0.next().client_config()
}

fn hosts(config: &Config) -> Vec<String> {
    let hosts = match &config.server {
        ServerConfig::Centralized { server } => vec![server],
        ServerConfig::Clustered { hosts, .. } | ServerConfig::Sentinel { hosts, .. } => {
            hosts.iter().collect()
        }
    };
    hosts.into_iter().map(|server| format!("{} {}", server.host, server.port)).collect()
}

#[test]
fn our_settings_are_taken_out_and_the_rest_is_the_connection() {
    let url = "redis://u:p%40ss@h:1/3?poolSize=2&store.namespace=news&connectTimeoutMS=900&store.create=false\
               &store.chat_ttl_secs=60&keepAliveMS=7000&store.operation_timeout_ms=5000&protocol=resp3\
               &reconnectMinDelayMS=10&reconnectMaxDelayMS=300";
    let config: RedisConfig = url.parse().unwrap();
    assert_eq!(
        config.url.expose_secret(),
        "redis://u:p%40ss@h:1/3?poolSize=2&connectTimeoutMS=900&keepAliveMS=7000&protocol=resp3\
         &reconnectMinDelayMS=10&reconnectMaxDelayMS=300"
    );
    let (pool, config) = resolve(config).unwrap();
    assert_eq!(config.namespace.as_deref(), Some("news"));
    assert!(!config.create);
    assert_eq!(config.chat_ttl, Some(Duration::from_mins(1)));
    assert_eq!(config.operation_timeout, Duration::from_secs(5));
    assert_eq!(config.connect_timeout(), Duration::from_millis(900));
    assert_eq!(pool.clients().len(), 2);
    let client = pool.next();
    let driver = client.client_config();
    assert_eq!((driver.username.as_deref(), driver.password.as_deref()), (Some("u"), Some("p@ss")));
    assert_eq!((driver.database, driver.version.clone()), (Some(3), RespVersion::RESP3));
    assert_eq!(hosts(&driver), ["h 1"]);
    let reach = client.connection_config();
    assert_eq!(reach.connection_timeout, Duration::from_millis(900));
    assert_eq!(reach.internal_command_timeout, Duration::from_millis(900));
    assert_eq!(reach.unresponsive.max_timeout, Some(Duration::from_secs(5)));
    assert!(reach.tcp.keepalive.is_some());
    let policy = client.client_reconnect_policy().unwrap();
    assert!(matches!(
        policy,
        ReconnectPolicy::Exponential { max_attempts: 0, min_delay: 10, max_delay: 300, .. }
    ));
}

#[test]
fn every_scheme_says_what_the_servers_are() {
    for product in ["redis", "valkey"] {
        for (tls, end) in [(false, ""), (true, "s")] {
            let plain = driver(&format!("{product}{end}://h"));
            assert_eq!((hosts(&plain), plain.tls.is_some()), (vec!["h 6379".to_owned()], tls));
            assert!(plain.server.is_centralized());
            let cluster = driver(&format!("{product}{end}-cluster://a:1,b:2?node=c:3"));
            assert_eq!(
                (hosts(&cluster), cluster.tls.is_some()),
                (vec!["a 1".to_owned(), "b 2".to_owned(), "c 3".to_owned()], tls)
            );
            assert!(cluster.server.is_clustered());
            let sentinel =
                driver(&format!("{product}{end}-sentinel://a,b:2/1?node=c&sentinelServiceName=m%20x"));
            assert_eq!(
                (hosts(&sentinel), sentinel.tls.is_some()),
                (vec!["a 26379".to_owned(), "b 2".to_owned(), "c 26379".to_owned()], tls)
            );
            assert!(
                matches!(&sentinel.server, ServerConfig::Sentinel { service_name, .. } if service_name == "m x")
            );
        }
    }
    assert_eq!(hosts(&driver("REDIS://[::1]:7/")), ["::1 7"]);
    assert_eq!(hosts(&driver("redis://[::1]")), ["::1 6379"]);
}

#[test]
fn users_of_servers_and_of_sentinels_are_told_apart() {
    let url = "redis-sentinel://u:p%3A@h?sentinelServiceName=m&sentinelUsername=su&sentinelPassword=s%26p";
    let config = driver(url);
    assert_eq!((config.username.as_deref(), config.password.as_deref()), (Some("u"), Some("p:")));
    let ServerConfig::Sentinel { username, password, .. } = config.server else { panic!("no sentinel") };
    assert_eq!((username.as_deref(), password.as_deref()), (Some("su"), Some("s&p")));
    let alone = driver("redis://:only@h");
    assert_eq!((alone.username, alone.password.as_deref()), (None, Some("only")));
    assert_eq!(driver("redis://:@h").password, None);
}

#[test]
fn fields_do_what_a_url_does() {
    let connection = RedisConnection::default()
        .with_sentinel_service("m")
        .with_hosts(["a", "b:2"])
        .with_sentinel_user("su", "sp")
        .with_user("u@x", "p:/?#[]@%")
        .with_database(4)
        .with_pool_size(7)
        .with_connect_timeout(Duration::from_millis(1500))
        .with_keep_alive(Duration::from_secs(9))
        .with_reconnect_delays(Duration::from_millis(5), Duration::from_millis(6))
        .with_protocol(Protocol::Resp3);
    let (pool, config) = resolve(RedisConfig::default().with_connection(connection)).unwrap();
    let driver = pool.next().client_config();
    assert_eq!(hosts(&driver), ["a 26379", "b 2"]);
    assert_eq!(driver.username.as_deref(), Some("u@x"));
    assert_eq!(driver.password.as_deref(), Some("p:/?#[]@%"));
    assert_eq!((driver.database, driver.version), (Some(4), RespVersion::RESP3));
    assert_eq!(pool.clients().len(), 7);
    assert_eq!(config.connect_timeout(), Duration::from_millis(1500));
}

#[test]
fn nothing_said_is_the_server_of_this_machine() {
    let (pool, config) = resolve(RedisConfig::default()).unwrap();
    assert_eq!(hosts(&pool.next().client_config()), ["127.0.0.1 6379"]);
    assert_eq!(pool.next().client_config().database, None);
    assert_eq!(config.connect_timeout(), Duration::from_secs(5));
    let short = RedisConfig::default().with_operation_timeout(Duration::from_millis(300));
    assert_eq!(short.connect_timeout(), Duration::from_millis(300));
}

#[test]
fn a_field_may_repeat_the_url_but_not_contradict_it() {
    let with = |url: &str, connection| resolve(RedisConfig::new(url).with_connection(connection));
    let two = || RedisConnection::default().with_database(2);
    with("redis://h/2", two()).unwrap();
    let (_, config) = with("redis://h", two()).unwrap();
    assert_eq!(config.connection.database, Some(2));
    assert!(with("redis://h/3", two()).unwrap_err().message().contains("the database is given twice"));
    let user = RedisConnection::default().with_user("u", "s3cret");
    assert!(with("redis://a:b@h/", user).unwrap_err().message().contains("is given twice"));
    let others = RedisConnection::default().with_hosts(["h"]);
    assert!(with("redis://h/", others).unwrap_err().message().contains("named twice"));
    let tls = RedisConnection::default().with_tls(true);
    assert!(with("redis://h/", tls).unwrap_err().message().contains("TLS is given twice"));
    let cluster = RedisConnection::default().with_topology(Topology::Cluster);
    assert!(with("redis://h/", cluster).unwrap_err().message().contains("topology is given twice"));
    let sentinel = RedisConnection::default().with_sentinel_service("m");
    with("redis-sentinel://h", sentinel).unwrap();
    // What a store was opened with can be opened again.
    let (_, again) = with("redis://u:p@h/2", two()).unwrap();
    resolve(again).unwrap();
}

#[test]
fn what_contradicts_itself_is_refused_at_once() {
    let cases = [
        ("", "begins with none of"),
        ("mongodb://h", "begins with none of"),
        ("redis-x://h", "begins with none of"),
        ("redis:h", "begins with none of"),
        ("redis://", "no server is named"),
        ("redis+unix:///tmp/x", "sockets of the file system"),
        ("redis://h:0", "server 1 of 1"),
        ("redis-cluster://a,b:x", "server 2 of 2"),
        ("redis-cluster://a?node=b:x", "server 2 of 2"),
        ("redis://[::1", "server 1 of 1"),
        ("redis://[x]:1", "server 1 of 1"),
        ("redis://a,b", "redis-cluster://"),
        ("redis://a?node=b:1", "redis-cluster://"),
        ("redis://@h", "no user and no password"),
        ("redis://u@h", "without a password"),
        ("redis://h/x", "number of a database"),
        ("redis://h/256", "number of a database"),
        ("redis://h/0/1", "number of a database"),
        ("redis-cluster://h/1", "database 0 only"),
        ("redis-sentinel://h", "sentinelServiceName"),
        ("redis://h?sentinelServiceName=m", "redis-sentinel://"),
        ("redis-sentinel://h?sentinelServiceName=m&sentinelUsername=u", "without sentinelPassword"),
        ("redis://h?readFromReplicas=true", "clusters only"),
        ("redis://h?tlsCAFile=/x", "not encrypted"),
        ("rediss://h?tlsCAFile=/no/such/file", "tlsCAFile /no/such/file"),
        ("rediss://h?tlsKeyFile=/x", "without tlsCertificateFile"),
        ("redis://h?poolSize=0", "poolSize"),
        ("redis://h?poolSize=x", "a whole number"),
        ("redis://h?poolSize=3&poolSize=3", "twice"),
        ("redis://h?protocol=4", "resp2 or resp3"),
        ("redis://h?connectTimeoutMS=0", "connectTimeoutMS"),
        ("redis://h?connectTimeoutMS=5s", "milliseconds"),
        ("redis://h?reconnectMinDelayMS=9&reconnectMaxDelayMS=3", "more than reconnectMaxDelayMS"),
        ("redis://h?store.operation_timeout_ms=0", "operation timeout is zero"),
        ("redis://h?store.chat_ttl_secs=0", "less than a second"),
        ("redis://h?store.create=yes", "true or false"),
        ("redis://h?store.prefix=%zz", "store.prefix"),
        ("redis://h?store.prefix=a&store.namespace=b", "both a namespace and a prefix"),
    ];
    for (url, part) in cases {
        let error = open(url).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{url}: {error}");
        assert!(error.message().contains(part), "{url}: {error}");
        assert!(!error.is_retryable(), "{url}");
    }
    for namespace in ["", "Big", "a/b", "a:b"] {
        resolve(RedisConfig::new("redis://h").with_namespace(namespace)).unwrap_err();
    }
    let error = resolve(RedisConfig::new("redis://h/?store.create=true")).unwrap_err();
    assert!(error.message().contains("parse::<RedisConfig>()"), "{error}");
}

#[test]
fn an_unknown_option_is_answered_with_the_known_ones() {
    let error = "redis://h/?poolsize=3&pollSize=3".parse::<RedisConfig>().unwrap_err();
    assert!(error.message().contains("\"pollSize\""), "{error}");
    assert!(error.message().contains("poolSize") && error.message().contains("store.namespace"), "{error}");
    let error = "redis://h/?store.layout=x".parse::<RedisConfig>().unwrap_err();
    assert!(error.message().contains("store.prefix"), "{error}");
    assert!(!error.message().contains("poolSize"), "{error}");
}

#[test]
fn no_error_and_no_debug_shows_a_secret() {
    let urls = [
        "redis://u:s3cret",
        "redis://u:s3cret@",
        "redis://u:s3/cret@h",
        "redis://u:s3cret@x@h",
        "redis://u:a?s3cret@h/",
        "redis://u:12?s3cret@h/",
        "redis://u:12/s3cret@h/?x",
        "redis://u:a#s3cret@h/",
        "redis://u:%é s3cret@h/",
        "redis://u:s3cret%@h/",
        "redis://u:[s3cret@h",
        "redis://s3cret@h",
        "redis://u:s3cret@h/?poolSize",
        "redis://u:s3cret@h/?poolSize=s3cret",
        "redis://u:s3cret@h/?protocol=s3cret",
        "redis://u:s3cret@h/?store.create=s",
        "redis-sentinel://h?sentinelPassword=s3cret",
        "redis-sentinel://h?sentinelPassword=s3cret&sentinelPassword=s3cret&sentinelServiceName=m",
        "redis://u:s3cret@h,i",
    ];
    for url in urls {
        let error = open(url).unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("s3cret") && !shown.contains("cret@"), "{url}: {shown}");
    }
    let connection = RedisConnection::default().with_user("u", "s3cret").with_sentinel_user("u", "s3cret");
    let config = RedisConfig::new("redis://u:s3cret@h").with_connection(connection);
    assert!(!format!("{config:?}").contains("s3cret"));
    let (_, config) =
        open("redis-sentinel://u:s3cret@h?sentinelServiceName=m&sentinelPassword=s3cret").unwrap();
    assert!(!format!("{config:?}").contains("s3cret"));
}

#[test]
fn a_file_that_is_no_certificate_is_refused() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"s3cret").unwrap();
    let path = file.path().display();
    for option in ["tlsCAFile", "tlsCertificateFile"] {
        let error = open(&format!("rediss://h/?{option}={path}")).unwrap_err();
        assert!(error.message().contains("no CERTIFICATE in PEM"), "{error}");
        assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
    }
}

#[test]
fn serde_refuses_unknown_fields_and_fills_in_the_rest() {
    let text = r#"{"url": "redis-cluster://h", "chat_ttl_secs": 9, "operation_timeout_ms": 700,
        "connection": {"password": "s3cret", "connect_timeout_ms": 5, "protocol": "resp3", "topology": "cluster",
                       "read_from_replicas": true, "keep_alive_ms": 1000}}"#;
    let config: RedisConfig = serde_json::from_str(text).unwrap();
    assert_eq!(config.chat_ttl, Some(Duration::from_secs(9)));
    assert_eq!(config.operation_timeout, Duration::from_millis(700));
    assert_eq!(config.connection.protocol, Some(Protocol::Resp3));
    assert!(config.create);
    let (pool, _) = resolve(config).unwrap();
    assert!(pool.next().client_config().server.is_clustered());
    assert!(serde_json::from_str::<RedisConfig>(r#"{"uri": "redis://h"}"#).is_err());
    assert!(serde_json::from_str::<RedisConfig>(r#"{"connection": {"host": "h"}}"#).is_err());
}
