//! The one place where the driver's errors become ours.

use std::time::Duration;

use aws_sdk_dynamodb::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use store_core::{Error, ErrorKind};

/// The backend's name in errors and capabilities.
pub(crate) const NAME: &str = "dynamodb";

/// What is not known after a call that was cut off.
const UNKNOWN_WRITE: &str = "whether a write was made is not known";

/// Our error for one of the driver's, which stays reachable as its source.
pub(crate) fn from_driver<E, R>(error: SdkError<E, R>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    let (kind, message) = match &error {
        SdkError::TimeoutError(_) => {
            (ErrorKind::Timeout, format!("the service did not answer in time; {UNKNOWN_WRITE}"))
        }
        SdkError::DispatchFailure(_) => {
            let why = DisplayErrorContext(&error).to_string();
            (
                ErrorKind::Unavailable,
                format!("the service can not be reached ({why}); check region and endpoint"),
            )
        }
        SdkError::ServiceError(service) => by_code(service.err()),
        _ => (ErrorKind::Other, DisplayErrorContext(&error).to_string()),
    };
    Error::new(kind, message).with_backend(NAME).with_source(error)
}

/// What the service says by its code, and what to do.
fn by_code(error: &impl ProvideErrorMetadata) -> (ErrorKind, String) {
    let code = error.code().unwrap_or_default();
    let says = error.message().unwrap_or("no reason");
    let kind = match code {
        "ResourceNotFoundException" => ErrorKind::NotFound,
        "ResourceInUseException" => ErrorKind::AlreadyExists,
        "ConditionalCheckFailedException"
        | "TransactionConflictException"
        | "TransactionCanceledException" => ErrorKind::Conflict,
        "ProvisionedThroughputExceededException" | "ThrottlingException" | "RequestLimitExceeded" => {
            ErrorKind::Throttled
        }
        "UnrecognizedClientException" | "AccessDeniedException" | "ExpiredTokenException" => {
            ErrorKind::Unauthorized
        }
        "ValidationException" => ErrorKind::InvalidInput,
        "InternalServerError" | "ServiceUnavailable" => ErrorKind::Unavailable,
        _ => ErrorKind::Other,
    };
    (kind, format!("the service answers {code}: {says}"))
}

/// The error of a call that took longer than the configured timeout.
pub(crate) fn timed_out(limit: Duration) -> Error {
    let message = format!("the service did not answer within {} ms; {UNKNOWN_WRITE}", limit.as_millis());
    Error::new(ErrorKind::Timeout, message).with_backend(NAME)
}

/// The error of every call after `close`.
pub(crate) fn closed() -> Error {
    Error::new(ErrorKind::Unavailable, "the store was closed; open it again")
        .with_retryable(false)
        .with_backend(NAME)
}

/// Names the backend and the operation in an error on its way out.
pub(crate) fn at(operation: &'static str) -> impl Fn(Error) -> Error {
    move |error| error.with_backend(NAME).with_operation(operation)
}
