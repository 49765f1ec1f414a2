//! The one place where the driver's errors become ours.

use std::io;
use std::time::Duration;

use cdrs_tokio::error::Error as DriverError;
use cdrs_tokio::frame::message_error::{ErrorType, WriteType};
use store_core::{Error, ErrorKind};

/// The backend's name in errors and capabilities.
pub(crate) const NAME: &str = "cassandra";

/// What is not known after a call that was cut off.
const UNKNOWN_WRITE: &str = Error::UNKNOWN_WRITE;

/// What is wrong when replicas did not answer the node that was asked.
const LATE: &str = "replicas that must answer did in time";
/// What is wrong when a replica could not make a write.
const WRITE_FAILED: &str = "the write failed on a replica";
/// What is wrong when a node has forgotten a statement.
const FORGOTTEN: &str = "the node forgets the statement again and again";
/// What is wrong when an answer lacks its end.
const CUT_SHORT: &str = "the answer can not be read to its end";
/// What is wrong when the driver knows of no node that is up.
const NO_NODE: &str = "no node can be asked";

/// Our error for one of the driver's, which stays reachable as its source.
pub(crate) fn from_driver(error: DriverError) -> Error {
    let (kind, message) = match &error {
        DriverError::Server { body, .. } => by_type(&body.ty, &body.message),
        DriverError::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            (ErrorKind::Unavailable, format!("{CUT_SHORT}; {UNKNOWN_WRITE}"))
        }
        DriverError::Io(error) => {
            (ErrorKind::Unavailable, format!("the connection failed ({error}); {UNKNOWN_WRITE}"))
        }
        DriverError::Timeout(what) => {
            (ErrorKind::Timeout, format!("the node did not answer in time ({what}); {UNKNOWN_WRITE}"))
        }
        DriverError::InvalidProtocol(_) => (
            ErrorKind::Config,
            "the node does not speak this version of the native protocol; Cassandra 3 and later speak version 4"
                .to_owned(),
        ),
        // The driver has one kind for all else, also for having no node to ask.
        DriverError::General(text) if text.contains("No nodes") || text.contains("query plan") => {
            (ErrorKind::Unavailable, format!("{NO_NODE} ({text}); nothing was sent"))
        }
        DriverError::General(text) => (ErrorKind::Unavailable, format!("{text}; {UNKNOWN_WRITE}")),
        other => (ErrorKind::Other, other.to_string()),
    };
    Error::new(kind, message).with_backend(NAME).with_source(error)
}

/// What a node says by its code (native protocol v4, section 9), and what to do.
fn by_type(ty: &ErrorType, says: &str) -> (ErrorKind, String) {
    let says = says.trim_end_matches('.');
    // Each of its limits has another code.
    if ["Request is too big", "oversized mutation", "too large for the maximum size"]
        .iter()
        .any(|limit| says.contains(limit))
    {
        let message = format!(
            "this is more than a node takes at once: {says}; write less, or raise native_transport_max_frame_size and \
             commitlog_segment_size in cassandra.yaml; nothing was written"
        );
        return (ErrorKind::LimitExceeded, message);
    }
    match ty {
        ErrorType::Authentication => {
            (ErrorKind::Unauthorized, format!("the node refuses the user or its password: {says}"))
        }
        ErrorType::Unauthorized => (
            ErrorKind::Unauthorized,
            format!("the user may not do this: {says}; GRANT it the right on the keyspace or table"),
        ),
        ErrorType::Unavailable(what) => (
            ErrorKind::Unavailable,
            format!(
                "too few replicas are up for {}: {} of {} are; nothing was written",
                what.cl, what.alive, what.required
            ),
        ),
        ErrorType::Overloaded => (ErrorKind::Throttled, format!("the node is overloaded: {says}; go slower")),
        ErrorType::IsBootstrapping => {
            (ErrorKind::Unavailable, "the node is still joining the cluster; ask again".to_owned())
        }
        ErrorType::WriteTimeout(what) if what.write_type == WriteType::Cas => (
            ErrorKind::Timeout,
            format!(
                "the replicas did not agree on the lightweight transaction in time ({} of {} answered); {UNKNOWN_WRITE}",
                what.received, what.block_for
            ),
        ),
        ErrorType::WriteTimeout(what) => (
            ErrorKind::Timeout,
            format!("{} of the {} {LATE}; the write may yet be made", what.received, what.block_for),
        ),
        ErrorType::ReadTimeout(what) => {
            (ErrorKind::Timeout, format!("{} of the {} {LATE}", what.received, what.block_for))
        }
        // Replicas learn of a change of the schema one after the other.
        ErrorType::ReadFailure(_) | ErrorType::WriteFailure(_) if says.contains("INCOMPATIBLE_SCHEMA") => (
            ErrorKind::Unavailable,
            format!("a replica does not know the table as it is now: {says}; ask again"),
        ),
        // As it fails while it learns of a change, too.
        ErrorType::ReadFailure(_) if says.contains("UNKNOWN") => (
            ErrorKind::Unavailable,
            format!("a replica can not read and does not tell why: {says}; ask again"),
        ),
        ErrorType::ReadFailure(_) | ErrorType::FunctionFailure(_) => {
            (ErrorKind::Other, format!("the read failed on a replica: {says}; see its log"))
        }
        ErrorType::WriteFailure(_) => (ErrorKind::Other, format!("{WRITE_FAILED}: {says}; see its log")),
        ErrorType::Truncate => (ErrorKind::Unavailable, format!("the table could not be emptied: {says}")),
        ErrorType::Invalid
            if ["does not exist", "doesn't exist", "unconfigured table"]
                .iter()
                .any(|lack| says.contains(lack)) =>
        {
            (ErrorKind::NotFound, format!("{says}; create it, or open the store with store.create=true"))
        }
        ErrorType::Syntax | ErrorType::Invalid | ErrorType::Config => {
            (ErrorKind::InvalidInput, format!("the node refuses the statement: {says}"))
        }
        ErrorType::AlreadyExists(what) => {
            (ErrorKind::AlreadyExists, format!("{}.{} is there already", what.ks, what.table))
        }
        ErrorType::Unprepared(_) => (
            ErrorKind::Conflict,
            format!("{FORGOTTEN}, which it does while the schema changes; repeat the call"),
        ),
        // Its own schema tables list a table a moment before it can be used.
        ErrorType::Server if says.contains("Unknown CF") => {
            (ErrorKind::NotFound, "the node does not know the table yet; ask again".to_owned())
        }
        ErrorType::Server | ErrorType::Protocol => {
            (ErrorKind::Other, format!("the node has a fault of its own: {says}; see its log"))
        }
        _ => (ErrorKind::Other, format!("the node answers: {says}")),
    }
}

/// Whether the driver knew of no node that is up, so that nothing was sent.
pub(crate) fn is_no_node(error: &Error) -> bool {
    error.kind() == ErrorKind::Unavailable && error.message().starts_with(NO_NODE)
}

/// Whether a node did not know a prepared statement, so that nothing was done.
pub(crate) fn is_forgotten(error: &Error) -> bool {
    error.kind() == ErrorKind::Conflict && error.message().starts_with(FORGOTTEN)
}

/// Whether a node could not serve a request for the moment, so that it may be sent again where that does no harm.
pub(crate) fn passes_by(error: &Error) -> bool {
    // A replica fails a write now and then while it changes an index of vectors.
    matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Throttled)
        || error.message().starts_with(WRITE_FAILED)
}

/// The error of a lightweight transaction. When replicas did not agree on it in time, the driver looks in the answer for
/// a number that only version 5 of the protocol has there, and says that the answer is cut short.
pub(crate) fn of_transaction(error: Error) -> Error {
    if error.kind() != ErrorKind::Unavailable || !error.message().starts_with(CUT_SHORT) {
        return error;
    }
    let message =
        format!("the replicas did not agree on the lightweight transaction in time; {UNKNOWN_WRITE}");
    Error::new(ErrorKind::Timeout, message).with_backend(NAME).with_source(error)
}

/// Whether the node that was asked waited for others in vain: what does no harm may be sent again.
pub(crate) fn is_late(error: &Error) -> bool {
    error.kind() == ErrorKind::Timeout && error.message().contains(LATE)
}

/// Whether a write may have been made, or may yet be, though its call failed.
pub(crate) fn is_unknown(error: &Error) -> bool {
    match error.kind() {
        ErrorKind::Timeout | ErrorKind::Other => true,
        ErrorKind::Unavailable => error.message().contains(UNKNOWN_WRITE),
        _ => false,
    }
}

/// Whether a lightweight transaction may have been made, or may yet be, though its call failed; also where it is worth to
/// ask again whether nodes are back.
pub(crate) fn may_be_made(error: &Error) -> bool {
    is_unknown(error) || error.kind() == ErrorKind::Unavailable && error.is_retryable()
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
mod tests {
    use super::*;

    fn io(kind: io::ErrorKind) -> Error {
        from_driver(DriverError::Io(kind.into()))
    }

    #[test]
    fn a_transaction_that_is_not_agreed_on_is_told_as_such() {
        let told = of_transaction(io(io::ErrorKind::UnexpectedEof));
        assert_eq!((told.kind(), told.is_retryable()), (ErrorKind::Timeout, true));
        assert!(told.message().contains("did not agree") && is_unknown(&told), "{told}");
        let told = of_transaction(io(io::ErrorKind::ConnectionReset));
        assert_eq!(told.kind(), ErrorKind::Unavailable);
        assert!(told.message().contains("the connection failed") && is_unknown(&told), "{told}");
    }
}
