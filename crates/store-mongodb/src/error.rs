//! The one mapping from the driver's errors to ours.

use std::io::ErrorKind as Io;
use std::time::Duration;

use bson::Document;
use mongodb::error::{
    Error as DriverError, ErrorKind as Driver, GridFsErrorKind, RETRYABLE_ERROR, RETRYABLE_WRITE_ERROR,
    SYSTEM_OVERLOADED_ERROR, TRANSIENT_TRANSACTION_ERROR, WriteFailure,
};
use store_core::{Error, ErrorKind};

/// The backend's name in errors and in `Backend::name`.
pub(crate) const NAME: &str = "mongodb";
/// The code of a unique key that is there already.
pub(crate) const DUPLICATE: i32 = 11_000;
/// The same, and those of old servers and of bulk writes.
pub(crate) const DUPLICATE_KEY: [i32; 3] = [DUPLICATE, 11_001, 12_582];

/// Our error for one of the driver, which stays as the source.
pub(crate) fn from_driver(error: DriverError) -> Error {
    let (kind, message) = kind_and_message(&error);
    let labels = [RETRYABLE_WRITE_ERROR, RETRYABLE_ERROR, TRANSIENT_TRANSACTION_ERROR];
    let ours = Error::new(kind, message).with_backend(NAME);
    let hopeless = matches!(kind, ErrorKind::Unauthorized | ErrorKind::Config);
    let retryable = !stays(&error)
        && (ours.is_retryable() || !hopeless && labels.iter().any(|label| error.contains_label(label)));
    ours.with_retryable(retryable).with_source(error)
}

/// Whether the same call meets the same error again, whatever its kind.
fn stays(error: &DriverError) -> bool {
    match error.kind.as_ref() {
        Driver::Shutdown => true,
        Driver::Command(command) => command.code == OUT_OF_DISK_SPACE,
        Driver::Write(WriteFailure::WriteError(failure)) => failure.code == OUT_OF_DISK_SPACE,
        _ => false,
    }
}

fn kind_and_message(error: &DriverError) -> (ErrorKind, String) {
    match error.kind.as_ref() {
        Driver::Authentication { message, .. } => (ErrorKind::Unauthorized, not_let_in(message)),
        Driver::Command(_) | Driver::Write(_) if error.contains_label(SYSTEM_OVERLOADED_ERROR) => (
            ErrorKind::Throttled,
            "the server has too much to do and asks for a slower pace; wait a little and repeat the call"
                .to_owned(),
        ),
        Driver::Command(command) => by_code(command.code, &command.message),
        Driver::Write(WriteFailure::WriteError(failure)) => by_code(failure.code, &failure.message),
        Driver::Write(WriteFailure::WriteConcernError(failure)) => {
            unconfirmed(failure.code, &failure.message)
        }
        Driver::InsertMany(bulk) => {
            match (bulk.write_errors.iter().flatten().next(), &bulk.write_concern_error) {
                // What is not confirmed may be lost, which matters more than what is refused.
                (_, Some(failure)) => unconfirmed(failure.code, &failure.message),
                (Some(first), None) => by_code(first.code, &first.message),
                (None, None) => {
                    (ErrorKind::Other, "the server refuses the batch and does not say why".to_owned())
                }
            }
        }
        Driver::BulkWrite(bulk) => {
            let first = bulk.write_errors.iter().min_by_key(|(place, _)| **place);
            match (first, bulk.write_concern_errors.first()) {
                (_, Some(failure)) => unconfirmed(failure.code, &failure.message),
                (Some((_, first)), None) => by_code(first.code, &first.message),
                (None, None) => std::error::Error::source(error)
                    .and_then(|source| source.downcast_ref())
                    .map_or_else(|| (ErrorKind::Other, "the batch failed".to_owned()), kind_and_message),
            }
        }
        Driver::ServerSelection { message, .. } => no_server(message),
        Driver::Io(io) => from_io(io.kind(), &io.to_string()),
        Driver::ConnectionPoolCleared { message, .. } => (
            ErrorKind::Unavailable,
            format!(
                "the connection was given up because another one to the same server failed ({message}); repeat the call"
            ),
        ),
        Driver::DnsResolve { message, .. } => (
            ErrorKind::Unavailable,
            format!(
                "the server's name can not be resolved ({message}); check the name in the URL, and the DNS server"
            ),
        ),
        Driver::Shutdown => (ErrorKind::Unavailable, "the store was closed; open it again".to_owned()),
        Driver::InvalidTlsConfig { message, .. } => {
            (ErrorKind::Config, format!("the TLS settings are wrong: {message}"))
        }
        Driver::IncompatibleServer { message, .. } => (
            ErrorKind::Unsupported,
            format!(
                "the server's version does not offer this ({message}); MongoDB 4.4 is the oldest that can serve"
            ),
        ),
        Driver::SessionsNotSupported => (ErrorKind::Unsupported, standalone().to_owned()),
        Driver::Transaction { message, .. } | Driver::InvalidArgument { message, .. } => {
            (ErrorKind::InvalidInput, message.clone())
        }
        Driver::MissingResumeToken => (
            ErrorKind::InvalidInput,
            "the pipeline removes the field _id of the changes, without which no stream can go on; keep it"
                .to_owned(),
        ),
        Driver::InvalidResponse { message, .. } => {
            (ErrorKind::Other, format!("the server's answer can not be read: {message}"))
        }
        Driver::Bson(failure) => {
            (ErrorKind::Corrupt, format!("a document is not what it should be, or no valid BSON: {failure}"))
        }
        Driver::GridFs(failure) => from_grid_fs(failure),
        other => (ErrorKind::Other, other.to_string()),
    }
}

fn not_let_in(message: &str) -> String {
    if message.contains("X509") {
        return format!(
            "the server does not let the client's certificate in ({message}); make its subject a user of the database \
             $external"
        );
    }
    // The server does not tell a wrong user from a wrong password, on purpose.
    format!(
        "the server does not let the user in ({message}); check the user, the password and authSource, the database \
         the user was made in (without it the one in the URL's path, else admin)"
    )
}

fn standalone() -> &'static str {
    "a single server without a replica set has no transactions and no change streams; start it with --replSet and \
     initiate the set, one member is enough"
}

/// The error of a command of our own that was made but not confirmed, if the server's answer says so.
pub(crate) fn not_confirmed(answer: &Document) -> Option<Error> {
    let failure = answer.get_document("writeConcernError").ok()?;
    let why = failure.get_str("errmsg").unwrap_or("no reason is given");
    let (kind, message) = unconfirmed(failure.get_i32("code").unwrap_or_default(), why);
    Some(Error::new(kind, message).with_backend(NAME))
}

fn unconfirmed(code: i32, why: &str) -> (ErrorKind, String) {
    match code {
        79 | 100 => (
            ErrorKind::Config,
            format!(
                "the replica set can not confirm writes as the write concern asks ({why}); ask for fewer members"
            ),
        ),
        _ => (
            if code == 64 { ErrorKind::Timeout } else { ErrorKind::Unavailable },
            format!(
                "the write was made, but not confirmed in time by as many members as the write concern asks ({why}), \
                 and it may yet be undone; repeat it once they are back"
            ),
        ),
    }
}

/// Disk full: nothing helps but space.
const OUT_OF_DISK_SPACE: i32 = 14031;

/// The server's code of an error, if it has one; of a batch the first.
pub(crate) fn code(error: &Error) -> Option<i32> {
    match error.downcast_ref::<DriverError>()?.kind.as_ref() {
        Driver::Command(command) => Some(command.code),
        Driver::Write(WriteFailure::WriteError(failure)) => Some(failure.code),
        Driver::Write(WriteFailure::WriteConcernError(failure)) => Some(failure.code),
        Driver::InsertMany(many) => many.write_errors.as_ref()?.first().map(|failure| failure.code),
        _ => None,
    }
}

/// What a server's error code means (`src/mongo/base/error_codes.yml` of the server), and what to do.
pub(crate) fn by_code(code: i32, message: &str) -> (ErrorKind, String) {
    let (kind, next) = kind_and_next_step(code, message);
    let joint = if next.is_empty() { "" } else { "; " };
    (kind, format!("the server answers: {message} (code {code}){joint}{next}"))
}

fn kind_and_next_step(code: i32, message: &str) -> (ErrorKind, &'static str) {
    use ErrorKind::{
        AlreadyExists, Config, Conflict, InvalidInput, LimitExceeded, NotFound, Other, Throttled, Timeout,
        Unauthorized, Unavailable, Unsupported,
    };
    if DUPLICATE_KEY.contains(&code) {
        return (AlreadyExists, "");
    }
    match code {
        11 | 18 | 334 | 391 => (Unauthorized, "check the user, the password, authSource and authMechanism"),
        13 | 31 => {
            (Unauthorized, "the user lacks a role for it: readWrite on the databases of the store is enough")
        }
        // Atlas tells everything with one code.
        8000 if message.contains("quota") || message.contains("limit") => {
            (LimitExceeded, "the cluster's plan allows no more; delete something or take a larger one")
        }
        8000 => (Unauthorized, "check the user, the password and the user's roles in Atlas"),
        26 | 27 => (NotFound, ""),
        286 => (
            NotFound,
            "the changes since then are no longer kept; read everything once and watch from now on",
        ),
        48 | 68 => (AlreadyExists, ""),
        85 | 86 => (Config, "an index with other settings is there; drop it, or declare it as it is"),
        67 | 197 | 16764 => (Config, "the index can not be made so"),
        79 | 100 => (Config, "ask for fewer members in the write concern"),
        13297 => (Config, "write the database's name as it is on the server"),
        24 | 46 | 112 | 117 | 215 | 225 | 246 | 251 | 12586 | 12587 => (Conflict, "repeat the call"),
        50 | 202 | 262 | 290 => (Timeout, "the call took too long; whether a write was made is not known"),
        64 => (Timeout, "the write was made, but not confirmed in time"),
        // Of Azure's server, and of MongoDB 8.2.
        462 | 16500 => (Throttled, "wait a little and repeat the call"),
        43 | 175 | 237 => (
            Unavailable,
            "the server has closed the stream (it was idle for too long, or the server was restarted); read on from the last item",
        ),
        94 => (
            Unavailable,
            "the server was started with --replSet, but the replica set was never initiated: run rs.initiate()",
        ),
        OUT_OF_DISK_SPACE => (Unavailable, "the server's disk is full: make space there"),
        6 | 7 | 63 | 89 | 91 | 133 | 134 | 150 | 189 | 209 | 317 | 9001 | 10058 | 10107 | 11600 | 11601
        | 11602 | 13388 | 13435 | 13436 => {
            (Unavailable, "the replica set is changing or the server is stopping; repeat the call")
        }
        146 | 292 => (
            LimitExceeded,
            "the server needs more memory for it than it may take: select less, or add an index",
        ),
        10334 | 17280 | 17419 | 17420 => (LimitExceeded, "a document takes at most 16 MB"),
        20 | 263 | 40573 if message.contains("replica set") => (Unsupported, standalone()),
        // What Atlas knows and this server does not, or a newer version.
        59 | 115 | 238 | 31082 | 40324 | 6_047_401 => {
            (Unsupported, "the server's version or edition does not offer it")
        }
        20 | 166 | 263 | 40573 => (Unsupported, ""),
        121 => (InvalidInput, "the collection has a validator that refuses the document; change one of them"),
        2 | 9 | 14 | 22 | 28 | 40 | 52 | 54 | 57 | 66 | 72 | 73 | 31249 | 31250 => (InvalidInput, ""),
        _ => (Other, ""),
    }
}

/// Why no server can be used: the driver tells it in the text of a topology only.
fn no_server(message: &str) -> (ErrorKind, String) {
    let (what, topology) = message.split_once(" Topology: ").unwrap_or((message, ""));
    let addresses: Vec<&str> =
        topology.split("Address: ").skip(1).filter_map(|rest| rest.split(',').next()).collect();
    let addresses = if addresses.is_empty() { "none is known".to_owned() } else { addresses.join(", ") };
    let has = |text: &str| topology.contains(text);
    if has("invalid peer certificate") || has("received fatal alert") || has("HandshakeFailure") {
        let why = tls_reason(topology);
        return (
            ErrorKind::Config,
            format!(
                "the server ({addresses}) and this program do not agree on TLS: {why}; check tls, tlsCAFile (who signed \
                 the server's certificate), tlsCertificateKeyFile and the host's name"
            ),
        );
    }
    if has("Compatibility Error") || has("Compatiblity Error") {
        return (
            ErrorKind::Unsupported,
            format!(
                "the server ({addresses}) is too old or too new for the driver: {}",
                between(topology, "Error: ")
            ),
        );
    }
    if has("Set Name: ") && !has("Servers: ") {
        // The driver has struck them all off its list, and never asks them again.
        let name = between(topology, "Set Name: ");
        return (
            ErrorKind::Config,
            format!(
                "none of the servers is of the replica set {name:?}; give replicaSet the name that rs.status() shows"
            ),
        );
    }
    let advice = if has("Connection refused") {
        "nothing listens there; start the server, or check host and port"
    } else if has("failed to lookup address") || has("Name or service not known") || has("DNS") {
        "the name can not be resolved; check the host"
    } else if has("unexpected end of file")
        || has("tls handshake eof")
        || has("InvalidContentType")
        || has("onnection reset")
    {
        "the connection was closed at once; the server may want TLS (tls=true) or may not speak it (tls=false)"
    } else if has("ReplicaSetNoPrimary") {
        "the replica set has no primary now, or is of another name than replicaSet says; wait for the election, or look \
         at rs.status()"
    } else if has("RSOther") || has("RSGhost") {
        "the server is of a replica set that is not ready; look at rs.status()"
    } else {
        "check that the server runs and can be reached from here"
    };
    let what = what.trim_start_matches("Server selection timeout: ").trim_end_matches('.');
    (ErrorKind::Unavailable, format!("no server can serve the call ({what}; servers: {addresses}): {advice}"))
}

/// The reason behind a mark in a topology's text, up to its end.
fn between<'a>(topology: &'a str, mark: &str) -> &'a str {
    let rest = topology.split_once(mark).map_or("", |(_, rest)| rest);
    rest.split([',', '}']).next().unwrap_or_default().trim()
}

fn tls_reason(topology: &str) -> &str {
    for mark in ["invalid peer certificate: ", "received fatal alert: "] {
        let reason = between(topology, mark);
        if !reason.is_empty() {
            return reason;
        }
    }
    "the handshake fails"
}

fn from_io(kind: Io, text: &str) -> (ErrorKind, String) {
    match kind {
        Io::TimedOut => {
            (ErrorKind::Timeout, format!("the connection to the server timed out; {}", Error::UNKNOWN_WRITE))
        }
        Io::InvalidData if text.contains("certificate") || text.contains("alert") => {
            (ErrorKind::Config, format!("the server and this program do not agree on TLS: {text}"))
        }
        _ => (
            ErrorKind::Unavailable,
            format!("the connection to the server failed: {text}; {}", Error::UNKNOWN_WRITE),
        ),
    }
}

fn from_grid_fs(failure: &GridFsErrorKind) -> (ErrorKind, String) {
    match failure {
        GridFsErrorKind::FileNotFound { .. }
        | GridFsErrorKind::RevisionNotFound { .. }
        | GridFsErrorKind::MissingChunk { .. }
        | GridFsErrorKind::WrongSizeChunk { .. }
        | GridFsErrorKind::WrongNumberOfChunks { .. } => {
            (ErrorKind::Corrupt, format!("a value kept in GridFS is not whole ({failure:?}); write it again"))
        }
        GridFsErrorKind::AbortError { original_error: Some(original), .. } => kind_and_message(original),
        GridFsErrorKind::AbortError { delete_error, .. } => kind_and_message(delete_error),
        other => (ErrorKind::Other, format!("GridFS: {other:?}")),
    }
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

/// The server's code for what went wrong, if the server said so.
pub(crate) fn server_code(error: &Error) -> Option<i32> {
    match error.downcast_ref::<DriverError>()?.kind.as_ref() {
        Driver::Command(command) => Some(command.code),
        Driver::Write(WriteFailure::WriteError(failure)) => Some(failure.code),
        _ => None,
    }
}

#[cfg(test)]
#[path = "error_tests.rs"]
mod tests;
