use std::error::Error as _;

use super::*;

fn answer(details: &'static str) -> DriverError {
    DriverError::new(Driver::Unknown, details)
}

fn local(kind: Driver, details: &'static str) -> DriverError {
    DriverError::new(kind, details)
}

type Row = (DriverError, ErrorKind, bool, &'static str);

/// Each error has a kind, says whether to repeat the call, and what to do.
fn holds(table: impl IntoIterator<Item = Row>) {
    for (error, kind, retryable, part) in table {
        let driver = error.to_string();
        let ours = from_driver(error);
        assert_eq!(ours.kind(), kind, "{driver}");
        assert_eq!(ours.is_retryable(), retryable, "{driver}");
        assert!(ours.message().contains(part), "{driver}: {ours}");
        assert_eq!(ours.backend(), Some(NAME));
        assert!(ours.downcast_ref::<DriverError>().is_some() && ours.source().is_some(), "{driver}");
    }
}

#[test]
fn what_servers_answer_is_told_with_the_next_step() {
    use ErrorKind::*;
    holds([
        (answer("NOAUTH Authentication required."), Unauthorized, false, ":password@host"),
        (answer("WRONGPASS invalid username-password pair"), Unauthorized, false, "switched off"),
        (
            answer("NOPERM User ro has no permissions to run the 'set' command"),
            Unauthorized,
            false,
            "ACL SETUSER",
        ),
        (answer("DENIED Redis is running in protected mode because"), Unauthorized, false, "protected mode"),
        (answer("WRONGTYPE Operation against a key"), InvalidInput, false, "left as it is"),
        (answer("OOM command not allowed"), LimitExceeded, false, "nothing was written"),
        (
            answer(
                "ERR Error running script (call to f_1): @user_script:1: @user_script: 1: -OOM command not allowed",
            ),
            LimitExceeded,
            false,
            "maxmemory",
        ),
        (answer("MISCONF Redis is configured to save RDB snapshots"), Unavailable, true, "can not save"),
        (answer("NOREPLICAS Not enough good replicas to write."), Unavailable, true, "too few replicas"),
        (
            answer("READONLY You can't write against a read only replica."),
            Unavailable,
            true,
            "nothing was written",
        ),
        (answer("LOADING Redis is loading the dataset in memory"), Unavailable, true, "from disk"),
        (answer("MASTERDOWN Link with MASTER is down"), Unavailable, true, "nothing was done"),
        (answer("TRYAGAIN Multiple keys request during rehashing of slot"), Unavailable, true, "repeat"),
        (answer("CLUSTERDOWN The cluster is down"), Unavailable, true, "repeat"),
        (answer("BUSY Redis is busy running a script"), Unavailable, true, "script"),
        (answer("MOVED 1 127.0.0.1:7001"), Config, false, "redis-cluster://"),
        (answer("CROSSSLOT Keys in request don't hash to the same slot"), InvalidInput, false, "hash tag"),
        (answer("NOSCRIPT No matching script."), NotFound, false, "script"),
        (answer("NOGROUP No such key"), NotFound, false, "group"),
        (answer("BUSYGROUP Consumer Group name already exists"), AlreadyExists, false, "group"),
        (answer("EXECABORT Transaction discarded"), InvalidInput, false, "nothing"),
        (answer("ERR unknown command 'VADD'"), Unsupported, false, "VADD"),
        (answer("ERR unknown command 'HELLO'"), Unsupported, false, "protocol=resp3"),
        (answer("ERR unknown command 'SENTINEL'"), Config, false, "no sentinel"),
        (
            local(Driver::Config, "ERR This instance has cluster support disabled"),
            Config,
            false,
            "with redis://",
        ),
        (answer("ERR DB index is out of range"), Config, false, "0 to 15"),
        (answer("ERR max number of clients reached"), Throttled, true, "maxclients"),
        (answer("ERR string exceeds maximum allowed size"), LimitExceeded, false, "maximum"),
        (answer("ERR value is not an integer or out of range"), InvalidInput, false, "integer"),
        (answer("ERR what"), Other, false, "what"),
        (answer("what nobody knows"), Other, false, "nobody knows"),
        (local(Driver::Unknown, "Too many failed write attempts."), Unavailable, true, "not known"),
        (local(Driver::Unknown, "channel closed"), Unavailable, true, "not known"),
    ]);
}

#[test]
fn what_the_driver_meets_is_told_with_the_next_step() {
    use ErrorKind::*;
    holds([
        (local(Driver::Routing, "Too many redirections."), Unavailable, true, "nothing was done"),
        (local(Driver::Routing, "Failed to route command."), Unavailable, true, "nothing was sent"),
        (local(Driver::Timeout, "Request timed out."), Timeout, true, "not known"),
        (local(Driver::IO, "Connection closed."), Unavailable, true, "not known"),
        (local(Driver::IO, "Unresponsive connection."), Timeout, true, "not known"),
        (local(Driver::Canceled, "Canceled."), Unavailable, true, "not known"),
        (
            local(Driver::IO, "Os { code: 111, kind: ConnectionRefused, message: \"Connection refused\" }"),
            Unavailable,
            true,
            "nothing listens",
        ),
        (local(Driver::IO, "failed to lookup address information"), Unavailable, true, "resolved"),
        (
            local(Driver::IO, "Custom { kind: InvalidData, error: InvalidCertificate(UnknownIssuer) }"),
            Config,
            false,
            "(InvalidCertificate(UnknownIssuer)); nobody we trust",
        ),
        (local(Driver::Tls, "InvalidCertificate(NotValidForName)"), Config, false, "another name"),
        (local(Driver::IO, "InvalidCertificate(Expired)"), Config, false, "clock"),
        (local(Driver::IO, "AlertReceived(CertificateRequired)"), Config, false, "tlsCertificateFile"),
        (local(Driver::Tls, "what"), Config, false, "host's name"),
        (local(Driver::Config, "what"), Config, false, "settings"),
        (local(Driver::Cluster, "what"), Unavailable, true, "changing"),
        (local(Driver::Backpressure, "what"), Throttled, true, "wait"),
        (local(Driver::Protocol, "what"), Corrupt, false, "can not be read"),
        (
            local(Driver::Sentinel, "Missing primary address in response"),
            Config,
            false,
            "sentinelServiceName",
        ),
        (local(Driver::Sentinel, "Failed to connect to all sentinel nodes."), Unavailable, true, "26379"),
        (local(Driver::Sentinel, "Invalid role: Some(\"slave\")"), Unavailable, true, "can not be used now"),
        (local(Driver::Sentinel, "WRONGPASS invalid"), Unauthorized, false, "password"),
    ]);
}

#[test]
fn an_error_of_connecting_tells_of_no_write() {
    use ErrorKind::*;
    let reset = "Os { code: 104, kind: ConnectionReset, message: \"Connection reset by peer\" }";
    let table = [
        (local(Driver::IO, reset), false, Unavailable, "(Connection reset by peer); it may want TLS"),
        (local(Driver::IO, reset), true, Unavailable, "no TLS on this port"),
        (local(Driver::Canceled, "Canceled."), false, Unavailable, "want TLS"),
        (local(Driver::Protocol, "what"), false, Config, "as a Redis server does"),
        (answer("WRONGPASS invalid"), false, Unauthorized, "password"),
    ];
    for (error, tls, kind, part) in table {
        let driver = error.to_string();
        let ours = from_connecting(error, tls);
        assert_eq!(ours.kind(), kind, "{driver}");
        assert!(ours.message().contains(part), "{driver}: {ours}");
        assert!(!ours.message().contains(UNKNOWN_WRITE), "{ours}");
    }
}

#[test]
fn the_arguments_of_an_unknown_command_are_not_repeated() {
    for details in [
        "ERR unknown command `HELLO`, with args beginning with: `3`, `AUTH`, `u`, `s3cret`, ",
        "ERR unknown command 'AUTH', with args beginning with: 's3cret' ",
    ] {
        let ours = from_driver(answer(details));
        assert_eq!(ours.kind(), ErrorKind::Unsupported);
        assert!(!format!("{ours} {ours:?}").contains("s3cret"), "{ours:?}");
    }
}

#[test]
fn a_call_that_was_not_sent_says_so() {
    let limit = Duration::from_secs(3);
    let error = not_sent(limit);
    assert!(error.is_retryable() && error.message().contains("nothing was sent"), "{error}");
    assert!(!error.message().contains(UNKNOWN_WRITE));
    assert!(timed_out(limit).message().contains(UNKNOWN_WRITE));
    assert!(not_connected(limit, false).message().contains("rediss://"));
    assert!(not_connected(limit, true).message().contains("speaks TLS"));
}
