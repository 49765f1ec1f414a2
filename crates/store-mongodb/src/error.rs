//! The one mapping from the driver's errors to ours.

use mongodb::error::{Error as DriverError, ErrorKind as Driver, WriteFailure};
use store_core::{Error, ErrorKind};

/// The backend's name in errors and in `Backend::name`.
pub(crate) const NAME: &str = "mongodb";

/// Our error for one of the driver, which stays as the source.
pub(crate) fn from_driver(error: DriverError) -> Error {
    let (kind, message) = kind_and_message(&error);
    let retryable = matches!(kind, ErrorKind::Conflict | ErrorKind::Unavailable | ErrorKind::Timeout);
    Error::new(kind, message).with_retryable(retryable).with_backend(NAME).with_source(error)
}

fn kind_and_message(error: &DriverError) -> (ErrorKind, String) {
    let text = || error.kind.to_string();
    match error.kind.as_ref() {
        Driver::Authentication { .. } => (
            ErrorKind::Unauthorized,
            "the server refuses the user or the password; check both, and authSource, the database the user was \
             made in"
                .to_owned(),
        ),
        Driver::Command(command) => by_code(command.code, &command.message),
        Driver::Write(WriteFailure::WriteError(failure)) => by_code(failure.code, &failure.message),
        Driver::Write(WriteFailure::WriteConcernError(failure)) => (
            ErrorKind::Unavailable,
            format!(
                "the write was made, but not confirmed as the write concern asks ({}); it may yet be lost: repeat it",
                failure.message
            ),
        ),
        Driver::ServerSelection { message, .. } => (
            ErrorKind::Unavailable,
            format!("no server answers that could serve the call: {message}"),
        ),
        Driver::Io(_) | Driver::ConnectionPoolCleared { .. } | Driver::DnsResolve { .. } => {
            (ErrorKind::Unavailable, format!("the connection failed: {}", text()))
        }
        Driver::Shutdown => (ErrorKind::Unavailable, "the store was closed; open it again".to_owned()),
        Driver::InvalidTlsConfig { message, .. } => (ErrorKind::Config, format!("the TLS settings are wrong: {message}")),
        Driver::InvalidArgument { message, .. } => (ErrorKind::InvalidInput, message.clone()),
        _ => (ErrorKind::Other, text()),
    }
}

/// What a server's error code means (`src/mongo/base/error_codes.yml` of the server).
pub(crate) fn by_code(code: i32, message: &str) -> (ErrorKind, String) {
    let kind = match code {
        18 | 13 => ErrorKind::Unauthorized,
        26 => ErrorKind::NotFound,
        11000 | 11001 | 12582 => ErrorKind::AlreadyExists,
        112 => ErrorKind::Conflict,
        50 => ErrorKind::Timeout,
        // 43 and 237: a cursor that the server gave up; what reads by one begins anew.
        6 | 7 | 43 | 89 | 91 | 189 | 237 | 9001 | 10107 | 11600 | 11602 | 13435 | 13436 => {
            ErrorKind::Unavailable
        }
        10334 | 17280 | 17419 | 17420 => ErrorKind::LimitExceeded,
        // What Atlas knows and this server does not.
        59 | 40324 | 6_047_401 => ErrorKind::Unsupported,
        _ => ErrorKind::Other,
    };
    (kind, format!("the server answers: {message} (code {code})"))
}

/// The error of a call that took longer than the configured timeout.
pub(crate) fn timed_out(limit: std::time::Duration) -> Error {
    let message = format!(
        "the server did not answer within {} ms; whether a write was made is not known",
        limit.as_millis()
    );
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

/// The server's code for what went wrong, if the server said so.
pub(crate) fn server_code(error: &Error) -> Option<i32> {
    match error.downcast_ref::<DriverError>()?.kind.as_ref() {
        Driver::Command(command) => Some(command.code),
        Driver::Write(WriteFailure::WriteError(failure)) => Some(failure.code),
        _ => None,
    }
}
