//! The one place where the driver's errors become ours.

use std::time::Duration;

use fred::error::{Error as DriverError, ErrorKind as Driver};
use store_core::{Error, ErrorKind};

/// The backend's name in errors and capabilities.
pub(crate) const NAME: &str = "redis";

/// What is not known after a call that was cut off.
const UNKNOWN_WRITE: &str = "whether a write was made is not known";

/// Where a URL for one server leads to a part of a cluster.
const ONE_OF_MANY: &str = "the server is one node of a cluster, and others hold its other keys; open it with redis-cluster://, or \
     rediss-cluster:// for TLS";

/// Our error for one of the driver's, which stays reachable as its source.
pub(crate) fn from_driver(error: DriverError) -> Error {
    let (kind, message) = kind_and_message(&error);
    Error::new(kind, message).with_backend(NAME).with_source(error)
}

/// Our error for one of the driver's while connecting, before anything could be written.
pub(crate) fn from_connecting(error: DriverError) -> Error {
    let (kind, message) = kind_and_message(&error);
    let message = if message.ends_with(UNKNOWN_WRITE) {
        format!(
            "the connection ends before the server lets us in ({}); check host and port, and whether it wants TLS \
             (rediss://)",
            error.details()
        )
    } else {
        message
    };
    Error::new(kind, message).with_backend(NAME).with_source(error)
}

fn kind_and_message(error: &DriverError) -> (ErrorKind, String) {
    let details = error.details();
    if let Some(known) = by_code(details) {
        return known;
    }
    match error.kind() {
        Driver::Timeout => {
            (ErrorKind::Timeout, format!("the server did not answer in time ({details}); {UNKNOWN_WRITE}"))
        }
        Driver::Tls => tls(details),
        Driver::IO if details.contains("InvalidCertificate") || details.contains("AlertReceived") => {
            tls(details)
        }
        Driver::IO if details.contains("ConnectionRefused") => (
            ErrorKind::Unavailable,
            "nothing listens there; start the server, or check host and port".to_owned(),
        ),
        Driver::IO if details.contains("failed to lookup") || details.contains("Name or service") => {
            (ErrorKind::Unavailable, "the name can not be resolved; check the host".to_owned())
        }
        Driver::IO | Driver::Canceled => (
            ErrorKind::Unavailable,
            format!("the connection to the server failed ({details}); {UNKNOWN_WRITE}"),
        ),
        Driver::Auth => unauthorized(details),
        Driver::Config | Driver::Url => {
            (ErrorKind::Config, format!("the driver refuses the settings: {details}"))
        }
        Driver::Sentinel => (
            ErrorKind::Unavailable,
            format!("Sentinel names no server ({details}); check its address and sentinelServiceName"),
        ),
        Driver::Cluster | Driver::Routing => {
            (ErrorKind::Unavailable, format!("the cluster is changing ({details}); {UNKNOWN_WRITE}"))
        }
        Driver::Backpressure => {
            (ErrorKind::Throttled, "too many calls wait already; wait a little".to_owned())
        }
        Driver::Protocol | Driver::Parse => (
            ErrorKind::Corrupt,
            format!(
                "the server's answer can not be read ({details}); is it a Redis server, and does it want TLS?"
            ),
        ),
        _ => (ErrorKind::Other, format!("the server answers: {details}")),
    }
}

/// What a server's error says by its first word, and what to do.
fn by_code(details: &str) -> Option<(ErrorKind, String)> {
    let code = details.split(' ').next().unwrap_or_default();
    let says = |kind, next: &str| Some((kind, format!("the server answers: {details}; {next}")));
    match code {
        "NOAUTH" | "WRONGPASS" => Some(unauthorized(details)),
        "NOPERM" => says(ErrorKind::Unauthorized, "give the user the command and the keys (ACL SETUSER)"),
        "WRONGTYPE" => says(ErrorKind::InvalidInput, "the key holds something else, which is left as it is"),
        "OOM" => says(
            ErrorKind::LimitExceeded,
            "the server may take no more memory: raise maxmemory, or let it evict keys (maxmemory-policy)",
        ),
        "MISCONF" => says(
            ErrorKind::Unavailable,
            "the server can not save its data and takes no writes: look at its log",
        ),
        "READONLY" => says(ErrorKind::Unavailable, "it is a replica now; repeat the call"),
        "LOADING" | "MASTERDOWN" | "TRYAGAIN" | "CLUSTERDOWN" | "NOREPLICAS" | "UNBLOCKED"
        | "NOMASTERLINK" => says(ErrorKind::Unavailable, "repeat the call"),
        "BUSY" => says(ErrorKind::Unavailable, "a script runs there that does not end"),
        "MOVED" | "ASK" => Some((ErrorKind::Config, ONE_OF_MANY.to_owned())),
        "CROSSSLOT" => {
            says(ErrorKind::InvalidInput, "in a cluster the keys of one call need the same hash tag")
        }
        "NOSCRIPT" => says(ErrorKind::NotFound, "send the script itself"),
        "NOGROUP" => says(ErrorKind::NotFound, "create the group first"),
        "BUSYGROUP" => says(ErrorKind::AlreadyExists, "the group is there already"),
        "EXECABORT" => says(ErrorKind::InvalidInput, "nothing of the transaction was done"),
        "DENIED" => {
            says(ErrorKind::Unauthorized, "the server is in protected mode: give it a password, or bind it")
        }
        "ERR" => Some(by_text(details)),
        _ => None,
    }
}

/// What a server's error without a code of its own says.
fn by_text(details: &str) -> (ErrorKind, String) {
    let lower = details.to_ascii_lowercase();
    let has = |text: &str| lower.contains(text);
    if has("cluster support disabled") {
        let message = "the server is no cluster; open it with redis://, or rediss:// for TLS";
        return (ErrorKind::Config, message.to_owned());
    }
    let kind = if has("unknown command") || has("unknown subcommand") {
        ErrorKind::Unsupported
    } else if has("max number of clients") {
        ErrorKind::Throttled
    } else if has("string exceeds maximum") || has("too big") || has("too large") {
        ErrorKind::LimitExceeded
    } else if has("syntax error")
        || has("wrong number of arguments")
        || has("not an integer")
        || has("not a valid")
    {
        ErrorKind::InvalidInput
    } else {
        ErrorKind::Other
    };
    (kind, format!("the server answers: {details}"))
}

fn unauthorized(details: &str) -> (ErrorKind, String) {
    (
        ErrorKind::Unauthorized,
        format!("the server lets us not in ({details}); check the user and the password in the URL"),
    )
}

fn tls(details: &str) -> (ErrorKind, String) {
    (
        ErrorKind::Config,
        format!(
            "the server and this program do not agree on TLS ({details}); check the scheme (rediss://), tlsCAFile (who \
             signed the server's certificate), the client's certificate and the host's name"
        ),
    )
}

/// The error of a connection that was not made in time.
pub(crate) fn not_connected(limit: Duration) -> Error {
    let message = format!(
        "no connection within {} ms; check that the server runs, that it can be reached from here, and whether it \
         wants TLS (rediss://)",
        limit.as_millis()
    );
    Error::new(ErrorKind::Unavailable, message).with_backend(NAME)
}

/// The error of a store that was opened on one node of a cluster.
pub(crate) fn one_of_many() -> Error {
    Error::config(ONE_OF_MANY).with_backend(NAME)
}

/// The error of a call that took longer than the configured timeout.
pub(crate) fn timed_out(limit: Duration) -> Error {
    let message = format!("the server did not answer within {} ms; {UNKNOWN_WRITE}", limit.as_millis());
    Error::new(ErrorKind::Timeout, message).with_backend(NAME)
}

/// The error of every call after `close`.
pub(crate) fn closed() -> Error {
    Error::new(ErrorKind::Unavailable, "the store was closed; open it again")
        .with_retryable(false)
        .with_backend(NAME)
}

/// Whether a command that was to be sent once was sent on by a cluster's node, and not done: the driver gives up then.
pub(crate) fn is_redirected(error: &Error) -> bool {
    error
        .downcast_ref::<DriverError>()
        .is_some_and(|driver| driver.details() == "Too many failed write attempts.")
}

/// Whether the server no longer knows a script by its hash.
pub(crate) fn is_no_script(error: &Error) -> bool {
    server_says(error, "NOSCRIPT")
}

/// Whether the server's error begins with this code.
pub(crate) fn server_says(error: &Error, code: &str) -> bool {
    error.downcast_ref::<DriverError>().is_some_and(|driver| driver.details().split(' ').next() == Some(code))
}

/// Names the backend and the operation in an error on its way out.
pub(crate) fn at(operation: &'static str) -> impl Fn(Error) -> Error {
    move |error| error.with_backend(NAME).with_operation(operation)
}
