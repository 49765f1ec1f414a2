use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Config, Credentials, Region};
use aws_sdk_dynamodb::error::ErrorMetadata;
use aws_sdk_dynamodb::operation::get_item::GetItemError;

use super::*;

fn answered(status: u16, code: &str, message: &str) -> Error {
    let response = HttpResponse::new(status.try_into().unwrap(), "".into());
    let meta = ErrorMetadata::builder().code(code).message(message).build();
    from_driver(SdkError::service_error(GetItemError::generic(meta), response))
}

#[test]
fn codes_have_a_kind_and_a_next_step() {
    for (status, code, kind, retryable) in [
        (400, "ResourceNotFoundException", ErrorKind::NotFound, false),
        (400, "ConditionalCheckFailedException", ErrorKind::Conflict, true),
        (400, "TransactionConflictException", ErrorKind::Conflict, true),
        (400, "IdempotentParameterMismatchException", ErrorKind::InvalidInput, false),
        (400, "ProvisionedThroughputExceededException", ErrorKind::Throttled, true),
        (400, "ThrottlingException", ErrorKind::Throttled, true),
        (400, "LimitExceededException", ErrorKind::Throttled, true),
        (400, "ItemCollectionSizeLimitExceededException", ErrorKind::LimitExceeded, false),
        (400, "UnrecognizedClientException", ErrorKind::Unauthorized, false),
        (400, "InvalidSignatureException", ErrorKind::Unauthorized, false),
        (400, "ExpiredTokenException", ErrorKind::Unauthorized, false),
        (400, "AccessDeniedException", ErrorKind::Unauthorized, false),
        (400, "ValidationException", ErrorKind::InvalidInput, false),
        (400, "UnknownOperationException", ErrorKind::Unsupported, false),
        (500, "InternalServerError", ErrorKind::Unavailable, true),
        (413, "", ErrorKind::LimitExceeded, false),
        (503, "", ErrorKind::Unavailable, true),
        (418, "Teapot", ErrorKind::Other, false),
    ] {
        let error = answered(status, code, "Says so.");
        assert_eq!((error.kind(), error.is_retryable()), (kind, retryable), "{code}: {error}");
        assert!(error.to_string().contains(code), "{error}");
        assert!(!error.to_string().contains(".;"), "{error}");
    }
    let large = answered(400, "ValidationException", "Item size has exceeded the maximum allowed size");
    assert_eq!(large.kind(), ErrorKind::LimitExceeded);
}

fn client(endpoint: &str, keys: bool) -> Client {
    let http = aws_smithy_http_client::Builder::new().build_http();
    let mut config = Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .http_client(http)
        .endpoint_url(endpoint)
        .region(Region::new("eu-central-1"));
    if keys {
        config = config.credentials_provider(Credentials::new("id", "s3cret", None, None, "test"));
    }
    Client::from_conf(config.build())
}

async fn refused(client: &Client) -> Error {
    let error = client.list_tables().send().await.expect_err("nothing is there");
    let error = from_driver(error);
    assert!(!format!("{error} {error:?}").contains("s3cret"), "{error:?}");
    error
}

#[tokio::test]
async fn what_can_not_be_sent_is_told_apart() {
    let nobody = refused(&client("http://127.0.0.1:1", true)).await;
    assert_eq!(nobody.kind(), ErrorKind::Unavailable, "{nobody}");
    assert!(nobody.to_string().contains("nothing was sent"), "{nobody}");

    let unknown = refused(&client("http://no.such.host.invalid:1", true)).await;
    assert_eq!(unknown.kind(), ErrorKind::Unavailable, "{unknown}");

    let nameless = refused(&client("http://127.0.0.1:1", false)).await;
    assert_eq!(nameless.kind(), ErrorKind::Unauthorized, "{nameless}");

    let tls = refused(&client("https://127.0.0.1:1", true)).await;
    assert_eq!(tls.kind(), ErrorKind::Config, "{tls}");
}
