use std::io::Write as _;

use mongodb::options::{Acknowledgment, ClientOptions, Tls};
use secrecy::ExposeSecret as _;
use store_core::ErrorKind;

use super::*;

async fn resolve(mut config: MongoConfig) -> Result<(ClientOptions, MongoConfig)> {
    let options = config.client_options().await?;
    Ok((options, config))
}

async fn options(url: &str) -> Result<(ClientOptions, MongoConfig)> {
    resolve(url.parse()?).await
}

#[tokio::test]
async fn our_settings_are_taken_out_and_the_rest_goes_to_the_driver() {
    let url = "mongodb://u:p%40ss@a:1,b:2/app?replicaSet=rs0&store.namespace=news&w=1&store.create=false\
               &store.chat_collection=talks&store.vector_collection=v&store.vector_index=vi&store.text_index=ti\
               &store.chat_ttl_secs=60&store.large_values=gridfs&store.operation_timeout_ms=5000&appName=x";
    let (driver, config) = options(url).await.unwrap();
    assert_eq!(config.namespace.as_deref(), Some("news"));
    assert_eq!((config.create, config.chat_collection.as_str()), (false, "talks"));
    assert_eq!((config.vector_collection.as_str(), config.vector_index.as_str()), ("v", "vi"));
    assert_eq!((config.text_index.as_str(), config.large_values), ("ti", MongoLargeValues::GridFs));
    assert_eq!(config.chat_ttl, Some(Duration::from_mins(1)));
    assert_eq!(config.operation_timeout, Duration::from_secs(5));
    assert_eq!(
        config.url.expose_secret(),
        "mongodb://u:p%40ss@a:1,b:2/app?replicaSet=rs0&w=1&appName=x",
        "what is the driver's stays as it is"
    );
    assert_eq!(driver.hosts.len(), 2);
    let credential = driver.credential.unwrap();
    assert_eq!(credential.password.as_deref(), Some("p@ss"));
    assert_eq!(
        credential.source.as_deref(),
        Some("app"),
        "the database in the path is where the user was made"
    );
    assert_eq!(config.database, None, "and not where the data is, with a namespace");
    assert_eq!(driver.write_concern.unwrap().w, Some(Acknowledgment::Nodes(1)));
    assert_eq!(driver.app_name.as_deref(), Some("x"));
}

#[tokio::test]
async fn a_write_is_acknowledged_by_a_majority_unless_said_otherwise() {
    let (driver, config) = options("mongodb://h").await.unwrap();
    assert_eq!(driver.write_concern.unwrap().w, Some(Acknowledgment::Majority));
    assert_eq!(driver.app_name.as_deref(), Some("nodestore"));
    assert!(driver.server_selection_timeout.unwrap() < config.operation_timeout);
}

#[tokio::test]
async fn the_database_in_the_path_holds_all_roles() {
    let database = async |url: &str| options(url).await.unwrap().1.database;
    assert_eq!(database("mongodb://h/app").await.as_deref(), Some("app"));
    assert_eq!(database("//a:1,b:2/my%2Ddb").await.as_deref(), Some("my-db"));
    assert_eq!(database("mongodb://h/").await, None);
    assert_eq!(database("mongodb://u:p@h/admin").await, None, "a database of the server itself");
    assert_eq!(options("mongodb://h/a.b").await.unwrap_err().kind(), ErrorKind::Config);
}

#[tokio::test]
async fn fields_do_what_a_url_does() {
    let connection = MongoConnection::default()
        .with_hosts(["a:1", "b"])
        .with_user("u@x", "p:/?#[]@%")
        .with_auth_source("users")
        .with_auth_mechanism(AuthMechanism::ScramSha1)
        .with_tls(true)
        .with_replica_set("rs0")
        .with_pool_size(1, 7)
        .with_connect_timeout(Duration::from_millis(1500))
        .with_server_selection_timeout(Duration::from_secs(4))
        .with_app_name("a b")
        .with_read_preference(ReadPreference::Nearest)
        .with_read_concern(ReadConcern::Majority)
        .with_write_concern(WriteConcern::Members(2))
        .with_journal(true)
        .with_retries(false, false);
    let (driver, _) = resolve(MongoConfig::default().with_connection(connection)).await.unwrap();
    let hosts: Vec<String> = driver.hosts.iter().map(ToString::to_string).collect();
    assert_eq!(hosts, ["a:1", "b:27017"]);
    let credential = driver.credential.unwrap();
    assert_eq!(credential.username.as_deref(), Some("u@x"));
    assert_eq!(credential.password.as_deref(), Some("p:/?#[]@%"));
    assert_eq!(credential.source.as_deref(), Some("users"));
    assert_eq!(credential.mechanism, Some(mongodb::options::AuthMechanism::ScramSha1));
    assert!(matches!(driver.tls, Some(Tls::Enabled(_))));
    assert_eq!(driver.repl_set_name.as_deref(), Some("rs0"));
    assert_eq!((driver.min_pool_size, driver.max_pool_size), (Some(1), Some(7)));
    assert_eq!(driver.connect_timeout, Some(Duration::from_millis(1500)));
    assert_eq!(driver.server_selection_timeout, Some(Duration::from_secs(4)));
    assert_eq!(driver.app_name.as_deref(), Some("a b"));
    assert_eq!(driver.read_concern, Some(mongodb::options::ReadConcern::majority()));
    let concern = driver.write_concern.unwrap();
    assert_eq!((concern.w, concern.journal), (Some(Acknowledgment::Nodes(2)), Some(true)));
    assert_eq!((driver.retry_reads, driver.retry_writes), (Some(false), Some(false)));
}

#[tokio::test]
async fn a_field_may_repeat_the_url_but_not_contradict_it() {
    let with = |url: &str, connection| resolve(MongoConfig::new(url).with_connection(connection));
    let rs0 = || MongoConnection::default().with_replica_set("rs0");
    with("mongodb://h/?replicaSet=rs0", rs0()).await.unwrap();
    let error = with("mongodb://h/?replicaset=rs1", rs0()).await.unwrap_err();
    assert!(error.message().contains("replicaSet is given twice"), "{error}");
    let user = MongoConnection::default().with_user("u", "s3cret");
    let error = with("mongodb://a:b@h/", user).await.unwrap_err();
    assert!(error.message().contains("the user is given twice"), "{error}");
    let hosts = MongoConnection::default().with_hosts(["h"]);
    assert!(with("mongodb://h/", hosts).await.unwrap_err().message().contains("named twice"));
}

#[tokio::test]
async fn what_contradicts_itself_is_refused_at_once() {
    let cases = [
        ("", "begins neither with"),
        ("redis://h", "begins neither with"),
        ("mongodb://", "no server is named"),
        ("mongodb://h:0", "server 1 of 1"),
        ("mongodb://a,b:x", "server 2 of 2"),
        ("mongodb://[::1", "server 1 of 1"),
        ("mongodb+srv://a,b", "exactly one DNS name"),
        ("mongodb+srv://a:1", "exactly one DNS name"),
        ("mongodb://@h", "no user's name"),
        ("mongodb://h/?w=0", "w=0"),
        ("mongodb://h/?minPoolSize=9&maxPoolSize=3", "more than maxPoolSize"),
        ("mongodb://h/?maxPoolSize=0", "maxPoolSize"),
        ("mongodb://a,b/?directConnection=true", "directConnection"),
        ("mongodb://h/?tls=false&tlsCAFile=x", "tls"),
        ("mongodb://h/?tlsCAFile=/no/such/file", "tlsCAFile /no/such/file"),
        ("mongodb://h/?authMechanism=MONGODB-X509&tls=true", "client certificate"),
        ("mongodb://u:p@h/?authMechanism=MONGODB-X509&tls=true", "password"),
        ("mongodb://h/?readPreference=any", "read preference"),
        ("mongodb://h/?compressors=lzma", "unknown compressor"),
        ("mongodb://h/?socketTimeoutMS=0", "socketTimeoutMS"),
        ("mongodb://h/?timeoutMS=900&serverSelectionTimeoutMS=900", "make it shorter"),
        ("mongodb://h/?timeoutMS=900&store.operation_timeout_ms=800", "given twice"),
        ("mongodb://h/?store.operation_timeout_ms=0", "operation timeout is zero"),
        ("mongodb://h/?store.chat_ttl_secs=0", "less than a second"),
        ("mongodb://h/?store.large_values=s3", "refuse or gridfs"),
        ("mongodb://h/?store.create=yes", "true or false"),
        ("mongodb://h/?store.chat_collection=a$b", "no name for a collection"),
        ("mongodb://h/?store.chat_collection=system.x", "is taken"),
        ("mongodb://h/?store.chat_collection=default_collection", "the same collection"),
        ("mongodb://h/?store.chat_collection=%zz", "store.chat_collection"),
    ];
    for (url, part) in cases {
        let error = options(url).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{url}: {error}");
        assert!(error.message().contains(part), "{url}: {error}");
        assert!(!error.is_retryable(), "{url}");
    }
    for namespace in ["", "Big", "a/b", "admin", "local"] {
        resolve(MongoConfig::new("mongodb://h").with_namespace(namespace)).await.unwrap_err();
    }
    let both = MongoConfig::new("mongodb://h").with_namespace("a").with_database("b");
    assert!(resolve(both).await.unwrap_err().message().contains("both a namespace and a database"));
    let error = resolve(MongoConfig::default()).await.unwrap_err();
    assert!(error.message().contains("give a URL, or hosts"), "{error}");
    let error = resolve(MongoConfig::new("mongodb://h/?store.create=true")).await.unwrap_err();
    assert!(error.message().contains("parse::<MongoConfig>()"), "{error}");
}

#[test]
fn an_unknown_option_is_answered_with_the_known_ones() {
    let error = "mongodb://h/?replicaset=a&maxPoolSise=3".parse::<MongoConfig>().unwrap_err();
    assert!(error.message().contains("\"maxPoolSise\""), "{error}");
    assert!(
        error.message().contains("maxPoolSize") && error.message().contains("store.namespace"),
        "{error}"
    );
    let error = "mongodb://h/?store.layout=x".parse::<MongoConfig>().unwrap_err();
    assert!(error.message().contains("store.large_values"), "{error}");
    assert!(!error.message().contains("maxPoolSize"), "{error}");
}

#[tokio::test]
async fn no_error_and_no_debug_shows_a_secret() {
    let urls = [
        "mongodb://u:s3cret",
        "mongodb://u:s3cret@",
        "mongodb://u:s3/cret@h",
        "mongodb://u:s3cret@x@h",
        "mongodb://u:a?s3cret@h/",
        "mongodb://u:12?s3cret@h/",
        "mongodb://u:a#s3cret@h/",
        "mongodb://u:%é s3cret@h/",
        "mongodb://u:s3cret%@h/",
        "mongodb://u:[s3cret@h",
        "mongodb://u:s3cret@h/?w=0",
        "mongodb://u:s3cret@h/?appName",
        "mongodb://u:s3cret@h/?authMechanism=s3cret",
        "mongodb://u:p@h/?authMechanism=PLAIN&authMechanismProperties=s3cret",
        "mongodb://u:p@h/?tls=false&tlsCertificateKeyFilePassword=s3cret",
        "mongodb+srv://u:s3cret@h:1",
        "mongodb://u:s3cret@h/?store.create=s",
    ];
    for url in urls {
        let error = options(url).await.unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("s3cret") && !shown.contains("cret@"), "{url}: {shown}");
    }
    let connection =
        MongoConnection::default().with_user("u", "s3cret").with_tls_certificate_password("s3cret");
    let config = MongoConfig::new("mongodb://u:s3cret@h").with_connection(connection);
    assert!(!format!("{config:?}").contains("s3cret"));
}

#[tokio::test]
async fn a_file_that_is_no_certificate_is_refused() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"-----BEGIN CERTIFICATE-----\n").unwrap();
    let path = file.path().display();
    options(&format!("mongodb://h/?tlsCAFile={path}")).await.unwrap();
    let error = options(&format!("mongodb://h/?tlsCertificateKeyFile={path}")).await.unwrap_err();
    assert!(error.message().contains("no PRIVATE KEY"), "{error}");
}

#[tokio::test]
async fn a_time_to_choose_a_server_makes_the_call_longer() {
    let (_, config) = options("mongodb://h/?serverSelectionTimeoutMS=60000").await.unwrap();
    assert_eq!(config.operation_timeout, Duration::from_secs(90));
    let (driver, config) = options("mongodb://h/?socketTimeoutMS=900").await.unwrap();
    assert_eq!(config.operation_timeout, Duration::from_millis(900));
    assert_eq!(driver.server_selection_timeout, Some(Duration::from_millis(600)));
}

#[test]
fn serde_refuses_unknown_fields_and_fills_in_the_rest() {
    let text = r#"{"url": "mongodb://h", "chat_ttl_secs": 9, "operation_timeout_ms": 700, "large_values": "gridfs",
        "connection": {"password": "s3cret", "write_concern": "majority", "connect_timeout_ms": 5,
                       "auth_mechanism": "MONGODB-X509", "read_preference": "secondaryPreferred"}}"#;
    let config: MongoConfig = serde_json::from_str(text).unwrap();
    assert_eq!(config.chat_ttl, Some(Duration::from_secs(9)));
    assert_eq!(config.operation_timeout, Duration::from_millis(700));
    assert_eq!(config.connection.write_concern, Some(WriteConcern::Majority));
    assert_eq!(config.connection.read_preference, Some(ReadPreference::SecondaryPreferred));
    assert_eq!(config.connection.auth_mechanism, Some(AuthMechanism::X509));
    assert_eq!(config.chat_collection, "sessions");
    assert!(serde_json::from_str::<MongoConfig>(r#"{"uri": "mongodb://h"}"#).is_err());
    let three: WriteConcern = serde_json::from_str("3").unwrap();
    assert_eq!(three, WriteConcern::Members(3));
}
