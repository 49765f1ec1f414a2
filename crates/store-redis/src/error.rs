//! The one place where the driver's errors become ours.

use std::time::Duration;

use fred::error::{Error as DriverError, ErrorKind as Driver};
use store_core::{Error, ErrorKind};

/// The backend's name in errors and capabilities.
pub(crate) const NAME: &str = "redis";

/// What is not known after a call that was cut off.
const UNKNOWN_WRITE: &str = Error::UNKNOWN_WRITE;

/// Where a URL for one server leads to a part of a cluster.
const ONE_OF_MANY: &str = "the server is one node of a cluster, and others hold its other keys; open it with redis-cluster://, or \
     rediss-cluster:// for TLS";

/// What the driver says of a command that a server of a cluster sends on, as it is to leave that to us.
const REDIRECTED: &str = "Too many redirections.";

/// What the driver says of a command that it had when it gave up a client.
const DROPPED: &str = "channel closed";

/// What the driver says of a command that it has sent as often as it may.
const GIVEN_UP: &str = "Too many failed write attempts.";

/// What the driver says of a command that it had sent when it gave up a connection on which another waited too long.
const SILENT: &str = "Unresponsive connection.";

/// Our error for one of the driver's, which stays reachable as its source.
pub(crate) fn from_driver(error: DriverError) -> Error {
    ours(error, Moment::Call)
}

/// Our error for one of the driver's while it connected: nothing was sent yet.
pub(crate) fn from_connecting(error: DriverError, tls: bool) -> Error {
    ours(error, Moment::Connecting { tls })
}

/// When an error came up.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Moment {
    Connecting { tls: bool },
    Call,
}

fn ours(error: DriverError, moment: Moment) -> Error {
    let error = without_arguments(error);
    let (kind, message) = kind_and_message(&error, moment);
    Error::new(kind, message).with_backend(NAME).with_source(error)
}

/// A server repeats the arguments of a command that it does not know, and these may be a password or a user's text.
fn without_arguments(error: DriverError) -> DriverError {
    match error.details().split_once(", with args beginning with") {
        Some((before, _)) => DriverError::new(error.kind().clone(), before.to_owned()),
        None => error,
    }
}

fn kind_and_message(error: &DriverError, moment: Moment) -> (ErrorKind, String) {
    let details = error.details();
    let has = |text: &str| details.contains(text);
    if let Some(known) = by_code(details) {
        return known;
    }
    // These come under several kinds: a cluster and sentinels have their own.
    if has("InvalidCertificate") || has("AlertReceived") || *error.kind() == Driver::Tls {
        return tls_refused(details);
    }
    if has("ConnectionRefused") {
        let message = "nothing listens there; start the server, or check host and port";
        return (ErrorKind::Unavailable, message.to_owned());
    }
    if has("failed to lookup") || has("Name or service") {
        let message = "the name can not be resolved; check the host";
        return (ErrorKind::Unavailable, message.to_owned());
    }
    match (error.kind(), moment) {
        (Driver::Timeout, _) => {
            (ErrorKind::Timeout, format!("the server did not answer in time; {UNKNOWN_WRITE}"))
        }
        (_, Moment::Call) if details == SILENT => (
            ErrorKind::Timeout,
            format!("the server answers nothing, and its connection was given up; {UNKNOWN_WRITE}"),
        ),
        (Driver::Config | Driver::Url, _) => {
            (ErrorKind::Config, format!("the driver refuses the settings: {details}"))
        }
        (Driver::Sentinel, _) => by_sentinels(details),
        (Driver::Backpressure, _) => {
            (ErrorKind::Throttled, "too many calls wait already; wait a little".to_owned())
        }
        (Driver::Routing, _) if details == REDIRECTED => (
            ErrorKind::Unavailable,
            "the cluster's servers send the call to each other; nothing was done, repeat it".to_owned(),
        ),
        (Driver::Unknown, _) if details == DROPPED => {
            (ErrorKind::Unavailable, format!("the connection to the server failed; {UNKNOWN_WRITE}"))
        }
        (Driver::Unknown, _) if details == GIVEN_UP => (
            ErrorKind::Unavailable,
            format!("the connection to the server failed again and again; {UNKNOWN_WRITE}"),
        ),
        (Driver::Routing, _) => (
            ErrorKind::Unavailable,
            format!("no server has the key now ({details}); nothing was sent, repeat the call"),
        ),
        (Driver::Protocol | Driver::Parse | Driver::NotFound, Moment::Connecting { .. }) => (
            ErrorKind::Config,
            format!(
                "what listens there does not answer as a Redis server does ({details}); check host and port"
            ),
        ),
        (Driver::Protocol | Driver::Parse, Moment::Call) => {
            (ErrorKind::Corrupt, format!("the server's answer can not be read ({details})"))
        }
        (Driver::IO | Driver::Canceled, Moment::Connecting { tls }) => {
            let next = if tls {
                "it may speak no TLS on this port (redis:// in place of rediss://)"
            } else {
                "it may want TLS (rediss:// in place of redis://)"
            };
            (ErrorKind::Unavailable, format!("the server closes the connection ({}); {next}", plain(details)))
        }
        (Driver::IO | Driver::Canceled, Moment::Call) => (
            ErrorKind::Unavailable,
            format!("the connection to the server failed ({}); {UNKNOWN_WRITE}", plain(details)),
        ),
        (Driver::Cluster, _) => {
            (ErrorKind::Unavailable, format!("the cluster is changing ({details}); {UNKNOWN_WRITE}"))
        }
        _ => (ErrorKind::Other, format!("the server answers: {details}")),
    }
}

/// What sentinels say, or what one says that is none.
fn by_sentinels(details: &str) -> (ErrorKind, String) {
    if details.starts_with("Missing primary address") {
        let message = "the sentinels watch no service of this name; check sentinelServiceName";
        return (ErrorKind::Config, message.to_owned());
    }
    if details.starts_with("Failed to connect to all") {
        let message = "no sentinel can be reached and lets us in; check the hosts (their port is 26379), whether they \
                       want TLS, sentinelUsername and sentinelPassword";
        return (ErrorKind::Unavailable, message.to_owned());
    }
    (
        ErrorKind::Unavailable,
        format!(
            "the server that the sentinels name can not be used now ({}); repeat the call",
            plain(details)
        ),
    )
}

/// The message of a system's error, which the driver shows as the program has it.
fn plain(details: &str) -> &str {
    if let Some((message, _)) = details.split_once("message: \"").and_then(|(_, rest)| rest.split_once('"')) {
        return message;
    }
    details.split_once("error: ").map_or(details, |(_, rest)| rest.trim_end_matches([' ', '}', '"']))
}

/// What a server's error says by its first word, and what to do.
fn by_code(details: &str) -> Option<(ErrorKind, String)> {
    let code = details.split(' ').next().unwrap_or_default();
    let says = |kind, next: &str| Some((kind, format!("the server answers: {details}; {next}")));
    match code {
        "NOAUTH" => Some((
            ErrorKind::Unauthorized,
            "the server lets in nobody without a password; give the user and the password, redis://user:password@host, \
             or redis://:password@host for the only password"
                .to_owned(),
        )),
        "WRONGPASS" => Some((
            ErrorKind::Unauthorized,
            "the server does not let the user in, or the user is switched off; check the user and the password"
                .to_owned(),
        )),
        "NOPERM" => says(ErrorKind::Unauthorized, "give the user the command and the keys (ACL SETUSER)"),
        "WRONGTYPE" => says(ErrorKind::InvalidInput, "the key holds something else, which is left as it is"),
        "OOM" => says(
            ErrorKind::LimitExceeded,
            "nothing was written: the server may take no more memory. Remove something, or raise maxmemory",
        ),
        "MISCONF" => says(
            ErrorKind::Unavailable,
            "nothing was written: the server can not save its data. Look at its log and its disk",
        ),
        "NOREPLICAS" => says(
            ErrorKind::Unavailable,
            "nothing was written: too few replicas are there (min-replicas-to-write); repeat the call",
        ),
        "READONLY" => says(
            ErrorKind::Unavailable,
            "nothing was written: it is a replica. Repeat the call after a failover; else name the primary, or the \
             sentinels or the cluster that know it",
        ),
        "LOADING" => says(ErrorKind::Unavailable, "it reads its data from disk; repeat the call in a while"),
        "MASTERDOWN" | "TRYAGAIN" | "CLUSTERDOWN" | "UNBLOCKED" | "NOMASTERLINK" => {
            says(ErrorKind::Unavailable, "nothing was done; repeat the call")
        }
        "MOVED" | "ASK" => Some((ErrorKind::Config, ONE_OF_MANY.to_owned())),
        "BUSY" => says(ErrorKind::Unavailable, "a script runs there that does not end"),
        "CROSSSLOT" => {
            says(ErrorKind::InvalidInput, "in a cluster the keys of one call need the same hash tag")
        }
        "NOSCRIPT" => says(ErrorKind::NotFound, "send the script itself"),
        "NOGROUP" => says(ErrorKind::NotFound, "create the group first"),
        "BUSYGROUP" => says(ErrorKind::AlreadyExists, "the group is there already"),
        "EXECABORT" => says(ErrorKind::InvalidInput, "nothing of the transaction was done"),
        "DENIED" => Some((
            ErrorKind::Unauthorized,
            "the server is in protected mode, and lets in only its own machine: give it a password (requirepass, or \
             users), or bind it to an address"
                .to_owned(),
        )),
        "ERR" => Some(by_text(details)),
        _ => None,
    }
}

/// What a server's error without a code of its own says.
fn by_text(details: &str) -> (ErrorKind, String) {
    // Redis 6 and earlier put the error of a script's command into one of the script.
    if details.contains("Error running script")
        && let Some((_, inner)) = details.rsplit_once(": -")
        && let Some(known) = by_code(inner)
    {
        return known;
    }
    let lower = details.to_ascii_lowercase();
    let has = |text: &str| lower.contains(text);
    let (kind, next) = if has("unknown command 'sentinel'") || has("unknown command `sentinel`") {
        (ErrorKind::Config, "it is no sentinel; give the sentinels (their port is 26379), or write redis://")
    } else if has("unknown command 'hello'") || has("unknown command `hello`") {
        (ErrorKind::Unsupported, "leave out protocol=resp3, which is of Redis 6 and later")
    } else if has("cluster support disabled") {
        (ErrorKind::Config, "it is no cluster: open it with redis://, or rediss:// for TLS")
    } else if has("db index is out of range") {
        (ErrorKind::Config, "the URL's path names a database that it does not have; most have 0 to 15")
    } else if has("unknown command") || has("unknown subcommand") {
        (ErrorKind::Unsupported, "")
    } else if has("max number of clients") {
        (ErrorKind::Throttled, "wait a little, lower poolSize, or raise maxclients")
    } else if has("string exceeds maximum") || has("too big") || has("too large") {
        (ErrorKind::LimitExceeded, "")
    } else if has("syntax error")
        || has("wrong number of arguments")
        || has("not an integer")
        || has("not a valid")
    {
        (ErrorKind::InvalidInput, "")
    } else {
        (ErrorKind::Other, "")
    };
    let joint = if next.is_empty() { "" } else { "; " };
    (kind, format!("the server answers: {details}{joint}{next}"))
}

fn tls_refused(details: &str) -> (ErrorKind, String) {
    let has = |text: &str| details.contains(text);
    let next = if has("NotValidForName") {
        "its certificate is for another name than the host in the URL; write that name, or have a certificate made for \
         this one"
    } else if has("Expired") || has("NotValidYet") {
        "its certificate is not valid today; look at its dates, and at this machine's clock"
    } else if has("UnknownIssuer") || has("BadSignature") {
        "nobody we trust signed its certificate; give tlsCAFile, the certificate of who did"
    } else if has("AlertReceived") {
        "it refuses us: it may want a client's certificate (tlsCertificateFile, tlsKeyFile), or another"
    } else {
        "check the host's name, tlsCAFile and the client's certificate"
    };
    let why = plain(details);
    (ErrorKind::Config, format!("the server and this program do not agree on TLS ({why}); {next}"))
}

/// The error of a connection that was not made in time.
pub(crate) fn not_connected(limit: Duration, tls: bool) -> Error {
    let next = if tls { "speaks TLS on this port (rediss://)" } else { "wants no TLS (rediss://)" };
    let message = format!(
        "no connection within {} ms; check that the server runs, that it can be reached from here, and that it {next}",
        limit.as_millis()
    );
    Error::new(ErrorKind::Unavailable, message).with_backend(NAME)
}

/// The error of a call that found no connection for as long as it could wait.
pub(crate) fn not_sent(limit: Duration) -> Error {
    let message = format!(
        "the connection to the server is lost, and could not be made again within {} ms; nothing was sent, repeat the \
         call",
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
    Error::timed_out(limit).with_backend(NAME)
}

/// The error of every call after `close`.
pub(crate) fn closed() -> Error {
    Error::closed().with_backend(NAME)
}

/// Whether a node of a cluster has sent a command on to another, and not done it.
pub(crate) fn is_redirected(error: &Error) -> bool {
    error.downcast_ref::<DriverError>().is_some_and(|driver| driver.details() == REDIRECTED)
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

#[cfg(test)]
#[path = "error_tests.rs"]
mod tests;
