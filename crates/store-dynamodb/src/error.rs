//! The one place where the driver's errors become ours.

use std::error::Error as StdError;
use std::time::Duration;

use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{ConnectorError, ErrorMetadata, ProvideErrorMetadata, SdkError};
use serde_json::Value;
use store_core::{Error, ErrorKind};

/// The backend's name in errors and capabilities.
pub(crate) const NAME: &str = "dynamodb";

/// What is not known after a call that was cut off.
const UNKNOWN_WRITE: &str = Error::UNKNOWN_WRITE;
/// What is known after no connection was made.
const NOTHING_SENT: &str = "nothing was sent";
/// What a proxy or a load balancer, and the service itself, answer to a request that is too long.
const TOO_LONG: u16 = 413;

/// Our error for one of the driver's, which stays reachable as its source.
pub(crate) fn from_driver<E>(error: SdkError<E, HttpResponse>) -> Error
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    let (kind, message) = match &error {
        SdkError::ServiceError(service) => by_code(service.err(), service.raw().status().as_u16()),
        SdkError::TimeoutError(_) => {
            (ErrorKind::Timeout, format!("the service did not answer in time; {UNKNOWN_WRITE}"))
        }
        SdkError::DispatchFailure(failure) => match failure.as_connector_error() {
            Some(connector) if !about_credentials(&chain(connector)) => not_delivered(connector),
            _ => not_built(&error),
        },
        SdkError::ResponseError(_) => (
            ErrorKind::Unavailable,
            format!("what answers can not be read as DynamoDB ({}); {UNKNOWN_WRITE}", innermost(&error)),
        ),
        _ => not_built(&error),
    };
    Error::new(kind, message).with_backend(NAME).with_source(error)
}

/// What the service says by its code, and what to do.
fn by_code(error: &impl ProvideErrorMetadata, status: u16) -> (ErrorKind, String) {
    let code = error.code().unwrap_or_default();
    let says = error.message().unwrap_or_default();
    let (kind, next) = match code {
        "ResourceNotFoundException" | "TableNotFoundException" => (
            ErrorKind::NotFound,
            "check the table's name, the region and the account; store.create=true makes what is missing",
        ),
        "ResourceInUseException" | "TableAlreadyExistsException" => (
            ErrorKind::AlreadyExists,
            "the table is there already, or is just being made, changed or deleted",
        ),
        "ConditionalCheckFailedException" => {
            (ErrorKind::Conflict, "another changed the item; repeat the call")
        }
        "TransactionConflictException"
        | "TransactionCanceledException"
        | "TransactionInProgressException"
        | "ReplicatedWriteConflictException" => {
            (ErrorKind::Conflict, "others change the same items; repeat the call")
        }
        "IdempotentParameterMismatchException" => {
            (ErrorKind::InvalidInput, "the token was used for another transaction; make a new one")
        }
        "ProvisionedThroughputExceededException"
        | "ThrottlingException"
        | "Throttling"
        | "RequestLimitExceeded" => (ErrorKind::Throttled, "go slower, or give the table more capacity"),
        "LimitExceededException" => {
            (ErrorKind::Throttled, "too many tables are made or changed at once; wait a little")
        }
        "ItemCollectionSizeLimitExceededException" => (
            ErrorKind::LimitExceeded,
            "a partition of a table with local indexes holds 10 GB at most; spread its items",
        ),
        "UnrecognizedClientException" | "InvalidClientTokenId" | "InvalidAccessKeyId" => {
            (ErrorKind::Unauthorized, "the access key is not known; check its id, its token and the region")
        }
        "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "IncompleteSignature"
        | "IncompleteSignatureException" => {
            (ErrorKind::Unauthorized, "check the secret of the access key, and this machine's clock")
        }
        "MissingAuthenticationToken" | "MissingAuthenticationTokenException" => {
            (ErrorKind::Unauthorized, "give an access key, a profile or a role")
        }
        "ExpiredTokenException" | "ExpiredToken" | "RequestExpired" => {
            (ErrorKind::Unauthorized, "get new temporary credentials")
        }
        "AccessDeniedException" | "AccessDenied" | "OptInRequired" | "NotAuthorized" => {
            (ErrorKind::Unauthorized, "give the user or role the action on the table and its indexes")
        }
        "ValidationException" if too_large(says) => (ErrorKind::LimitExceeded, "nothing was written"),
        "ValidationException" | "SerializationException" => (ErrorKind::InvalidInput, ""),
        "UnknownOperationException" => (
            ErrorKind::Unsupported,
            "the server does not know the operation; DynamoDB Local lacks some of the service's",
        ),
        "InternalServerError"
        | "InternalFailure"
        | "InternalServerException"
        | "ServiceUnavailable"
        | "ServiceUnavailableException" => {
            (ErrorKind::Unavailable, "the service has a fault of its own; repeat the call")
        }
        _ if status == TOO_LONG => {
            (ErrorKind::LimitExceeded, "the request is longer than the 16 MB that the service takes")
        }
        _ if status >= 500 => (ErrorKind::Unavailable, "the service has a fault of its own; repeat the call"),
        _ => (ErrorKind::Other, ""),
    };
    let mut message = match (code, says) {
        ("", "") => format!("the service answers with HTTP {status}"),
        ("", says) => format!("the service answers: {}", says.trim_end_matches('.')),
        (code, "") => format!("the service answers {code}"),
        (code, says) => format!("the service answers {code}: {}", says.trim_end_matches('.')),
    };
    if !next.is_empty() {
        message.push_str("; ");
        message.push_str(next);
    }
    (kind, message)
}

/// The service has one code for all that is wrong with a request.
pub(crate) fn too_large(says: &str) -> bool {
    let says = says.to_ascii_lowercase();
    says.contains("size has exceeded") || says.contains("size limit") || says.contains("maximum allowed size")
}

/// What went wrong on the way to the service or back.
fn not_delivered(error: &ConnectorError) -> (ErrorKind, String) {
    let why = innermost(error);
    let all = chain(error);
    let has = |text: &str| all.contains(text);
    if error.is_user() || has("invalid URL") {
        return (ErrorKind::Config, format!("the request can not be sent ({why}); check endpoint_url"));
    }
    if has("connect timeout") || has("error trying to connect") || has("dns error") || has("tcp connect") {
        if has("Connection refused") {
            let message = format!(
                "nothing listens there; {NOTHING_SENT}: start the service, or check region and endpoint_url"
            );
            return (ErrorKind::Unavailable, message);
        }
        let next = if has("InvalidCertificate") || has("certificate") || has("HandshakeFailure") {
            "it and this program do not agree on TLS; check endpoint_url and this machine's certificates and clock"
        } else if has("InvalidContentType") || has("corrupt message") {
            "it may speak no TLS: write http:// in endpoint_url"
        } else {
            "check that it runs and can be reached from here: region and endpoint_url"
        };
        return (
            ErrorKind::Unavailable,
            format!("no connection to the service ({why}); {NOTHING_SENT}, {next}"),
        );
    }
    if error.is_timeout() {
        return (ErrorKind::Timeout, format!("the service did not answer in time; {UNKNOWN_WRITE}"));
    }
    (ErrorKind::Unavailable, format!("the connection to the service failed ({why}); {UNKNOWN_WRITE}"))
}

/// What went wrong before anything was sent.
fn not_built(error: &(dyn StdError + 'static)) -> (ErrorKind, String) {
    let (why, all) = (innermost(error), chain(error));
    if about_credentials(&all) {
        // The driver's own words for having none are for those who build clients.
        let why = if all.contains("auth scheme") { "none are set" } else { &why };
        return (
            ErrorKind::Unauthorized,
            format!(
                "no credentials can be had ({why}); set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile, or \
                 write id:secret@region in the URL"
            ),
        );
    }
    if all.contains("endpoint") {
        return (
            ErrorKind::Config,
            format!("there is no endpoint for this ({why}); check region and endpoint_url"),
        );
    }
    (ErrorKind::Other, format!("the request can not be made ({why})"))
}

fn about_credentials(chain: &str) -> bool {
    chain.contains("credential") || chain.contains("identity resolver")
}

/// An error and all behind it, the first cause last.
fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// The messages of an error and all behind it.
fn chain(error: &(dyn StdError + 'static)) -> String {
    causes(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// The message of the error that began it.
fn innermost(error: &(dyn StdError + 'static)) -> String {
    causes(error).last().map_or_else(String::new, ToString::to_string)
}

/// How one attempt of the driver's failed.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) kind: ErrorKind,
    pub(crate) message: String,
    /// Whether the service may have done what it was asked.
    pub(crate) maybe_done: bool,
}

impl Attempt {
    pub(crate) fn new(connector: Option<&ConnectorError>, response: Option<&HttpResponse>) -> Self {
        let (kind, message) = match (connector, response) {
            (Some(connector), _) => not_delivered(connector),
            (None, Some(response)) => by_code(&answered(response), response.status().as_u16()),
            (None, None) => (ErrorKind::Timeout, String::new()),
        };
        let maybe_done = match kind {
            ErrorKind::Timeout => true,
            ErrorKind::Unavailable => !message.contains(NOTHING_SENT),
            _ => false,
        };
        Self { kind, message, maybe_done }
    }
}

/// The code and the words of an answer that is an error: `{"__type": "…#Code", "message": "…"}`.
pub(crate) fn answered(response: &HttpResponse) -> ErrorMetadata {
    let body = response.body().bytes().and_then(|body| serde_json::from_slice::<Value>(body).ok());
    let text = |name: &str| body.as_ref().and_then(|body| body.get(name)?.as_str());
    let code = text("__type").map_or("", |code| code.rsplit('#').next().unwrap_or_default());
    let message = text("message").or_else(|| text("Message")).unwrap_or_default();
    ErrorMetadata::builder().code(code).message(message).build()
}

/// The error of a call whose time was over after this attempt.
pub(crate) fn cut_off(last: &Attempt, limit: Duration, maybe_done: bool) -> Error {
    let mut message = format!("{}; it was tried for {} ms", last.message, limit.as_millis());
    if maybe_done && !message.contains(UNKNOWN_WRITE) {
        message = format!("{message}, and {UNKNOWN_WRITE}");
    }
    Error::new(last.kind, message).with_backend(NAME)
}

/// The error of a call that took longer than the configured timeout.
pub(crate) fn timed_out(limit: Duration) -> Error {
    Error::timed_out(limit).with_backend(NAME)
}

/// The error of every call after `close`.
pub(crate) fn closed() -> Error {
    Error::closed().with_backend(NAME)
}

/// Names the backend and the operation in an error on its way out.
pub(crate) fn at(operation: &'static str) -> impl Fn(Error) -> Error {
    move |error| error.with_backend(NAME).with_operation(operation)
}

#[cfg(test)]
#[path = "error_tests.rs"]
mod tests;
