use store_core::ErrorKind;

use super::*;

fn refusal(url: &str) -> String {
    let error = url.parse::<DynamoDbConfig>().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{url}: {error}");
    let text = format!("{error} {error:?}");
    assert!(!text.contains("s3cret"), "{text}");
    error.to_string()
}

#[test]
fn a_url_says_everything() {
    let config: DynamoDbConfig = "dynamodb://AKID:s3cret%2Fx@eu-central-1/app?endpoint_url=http://127.0.0.1:8000\
        &session_token=s3cret%3D&connect_timeout_ms=1&read_timeout_ms=2&attempt_timeout_ms=3&retry_mode=adaptive\
        &max_attempts=4&store.namespace=news&store.create=true&store.consistent_reads=true\
        &store.operation_timeout_ms=5&store.billing=provisioned&store.read_units=6&store.write_units=7\
        &store.deletion_protection=true"
        .parse()
        .unwrap();
    let connection = &config.connection;
    assert_eq!(connection.region.as_deref(), Some("eu-central-1"));
    assert_eq!(connection.endpoint_url.as_deref(), Some("http://127.0.0.1:8000"));
    assert_eq!(connection.access_key_id.as_deref(), Some("AKID"));
    assert_eq!(connection.connect_timeout, Some(Duration::from_millis(1)));
    assert_eq!(connection.read_timeout, Some(Duration::from_millis(2)));
    assert_eq!(connection.attempt_timeout, Some(Duration::from_millis(3)));
    assert_eq!(connection.retry_mode, Some(DynamoDbRetryMode::Adaptive));
    assert_eq!(connection.max_attempts, Some(4));
    assert_eq!(config.table.as_deref(), Some("app"));
    assert_eq!(config.namespace.as_deref(), Some("news"));
    assert!(config.create && config.consistent_reads);
    assert_eq!(config.operation_timeout, Duration::from_millis(5));
    let tables = DynamoDbTableOptions::default().with_provisioned(6, 7).with_deletion_protection(true);
    assert_eq!(config.tables, tables);
    assert!(!format!("{config:?}").contains("s3cret"));
}

#[test]
fn defaults_are_safe() {
    let config: DynamoDbConfig = "DynamoDB://eu-central-1/app/".parse().unwrap();
    assert_eq!(config.table.as_deref(), Some("app"));
    assert!(!config.create && !config.consistent_reads);
    assert!(
        "dynamodb:///?store.namespace=a".parse::<DynamoDbConfig>().is_ok(),
        "region and table may be left out"
    );
}

#[test]
fn what_can_not_be_is_refused() {
    for (url, word) in [
        ("dynamo://a/app", "dynamodb://"),
        ("dynamodb://localhost:8000/app", "endpoint_url"),
        ("dynamodb://eu-central-1/a?", "3 to"),
        ("dynamodb://eu-central-1/app/more", "not allowed"),
        ("dynamodb://s3cret@eu-central-1/app", "without a secret"),
        ("dynamodb://AKID:s3cret/x@eu-central-1/app", "can not be read"),
        ("dynamodb://AKID:@eu-central-1/app", "can not be read"),
        ("dynamodb://AKID:%zz@eu-central-1/app", "can not be read"),
        ("dynamodb://AKID:s3cret@eu-central-1/app?profile=p", "keep one"),
        ("dynamodb://eu-central-1/app?session_token=s3cret", "without the access key"),
        ("dynamodb://eu-central-1/app?s3cret", "key=value"),
        ("dynamodb://eu-central-1/app#s3cret", "%23"),
        ("dynamodb://eu-central-1/app?endpoint_url=127.0.0.1:8000", "http://host:port"),
        ("dynamodb://eu-central-1/app?endpoint_url=http://a:s3cret%40h", "without a user"),
        ("dynamodb://eu-central-1/app?endpoint_url=http://h&use_fips=true", "use_fips"),
        ("dynamodb://eu-central-1/app?use_fips=yes", "true or false"),
        ("dynamodb://eu-central-1/app?max_attempts=0", "max_attempts"),
        ("dynamodb://eu-central-1/app?attempt_timeout_ms=0", "zero"),
        ("dynamodb://eu-central-1/app?retry_mode=never", "adaptive"),
        ("dynamodb://eu-central-1/app?profile=a&profile=b", "twice"),
        ("dynamodb://eu-central-1/app?Profile=a", "known are"),
        ("dynamodb://eu-central-1/app?store.create=true&store.create=false", "twice"),
        ("dynamodb://eu-central-1/app?store.create=maybe", "true or false"),
        ("dynamodb://eu-central-1/app?store.read_units=5", "provisioned"),
        ("dynamodb://eu-central-1/app?store.billing=provisioned", "store.read_units"),
        ("dynamodb://eu-central-1/app?store.what=1", "known are store.billing"),
    ] {
        let message = refusal(url);
        assert!(message.contains(word), "{url}: {message}");
    }
}

#[test]
fn own_settings_are_all_named() {
    for key in OWN {
        let message =
            DynamoDbConfig::default().set(key, "\u{0}".to_owned()).map_err(|error| error.to_string());
        assert!(!message.is_err_and(|message| message.contains("unknown option")), "{key}");
    }
    assert!(OWN.is_sorted());
}
