use std::error::Error as _;
use std::sync::Arc;

use bson::doc;
use mongodb::error::{CommandError, InsertManyError, WriteConcernError, WriteError};

use super::*;

fn command(code: i32, message: &str) -> DriverError {
    let answer = doc! {"code": code, "codeName": "X", "errmsg": message};
    Driver::Command(bson::deserialize_from_document::<CommandError>(answer).unwrap()).into()
}

fn refused_write(code: i32, message: &str) -> DriverError {
    let answer = doc! {"code": code, "errmsg": message};
    let failure = bson::deserialize_from_document::<WriteError>(answer).unwrap();
    Driver::Write(WriteFailure::WriteError(failure)).into()
}

fn unconfirmed_write(code: i32, message: &str) -> DriverError {
    let answer = doc! {"code": code, "errmsg": message};
    let failure = bson::deserialize_from_document::<WriteConcernError>(answer).unwrap();
    Driver::Write(WriteFailure::WriteConcernError(failure)).into()
}

fn batch(answer: bson::Document) -> DriverError {
    Driver::InsertMany(bson::deserialize_from_document::<InsertManyError>(answer).unwrap()).into()
}

fn io(kind: Io, text: &str) -> DriverError {
    Driver::Io(Arc::new(std::io::Error::new(kind, text))).into()
}

#[test]
fn each_error_has_a_kind_says_whether_to_repeat_and_what_to_do() {
    use ErrorKind::*;
    let table = [
        (command(18, "Authentication failed."), Unauthorized, false, "authSource"),
        (command(13, "not authorized on db to execute command"), Unauthorized, false, "readWrite"),
        (command(8000, "bad auth : authentication failed"), Unauthorized, false, "Atlas"),
        (command(8000, "you are over your space quota"), LimitExceeded, false, "plan"),
        (command(26, "ns not found"), NotFound, false, "ns not found"),
        (command(27, "index not found"), NotFound, false, "index not found"),
        (command(286, "resume point lost"), NotFound, false, "watch from now on"),
        (command(85, "other options"), Config, false, "drop it"),
        (command(86, "other key"), Config, false, "drop it"),
        (command(13297, "db already exists with different case"), Config, false, "as it is on the server"),
        (command(112, "WriteConflict"), Conflict, true, "repeat"),
        (command(251, "no such transaction"), Conflict, true, "repeat"),
        (command(50, "operation exceeded time limit"), Timeout, true, "not known"),
        (command(16500, "Request rate is large"), Throttled, true, "wait"),
        (command(43, "cursor id 1 not found"), Unavailable, true, "last item"),
        (command(94, "no replset config"), Unavailable, true, "rs.initiate"),
        (command(91, "shutting down"), Unavailable, true, "repeat"),
        (command(10107, "not primary"), Unavailable, true, "repeat"),
        (command(13435, "not primary and secondaryOk=false"), Unavailable, true, "repeat"),
        (command(189, "stepped down"), Unavailable, true, "repeat"),
        (command(14031, "no space"), Unavailable, false, "disk is full"),
        (command(292, "sort exceeded memory limit"), LimitExceeded, false, "memory"),
        (command(10334, "BSONObj size"), LimitExceeded, false, "16 MB"),
        (
            command(20, "Transaction numbers are only allowed on a replica set member or mongos"),
            Unsupported,
            false,
            "--replSet",
        ),
        (
            command(40573, "The $changeStream stage is only supported on replica sets"),
            Unsupported,
            false,
            "--replSet",
        ),
        (command(40324, "Unrecognized pipeline stage name: '$search'"), Unsupported, false, "edition"),
        (command(6_047_401, "$search is only allowed on MongoDB Atlas"), Unsupported, false, "edition"),
        (command(59, "no such command: 'createSearchIndexes'"), Unsupported, false, "edition"),
        (command(2, "bad value"), InvalidInput, false, "bad value"),
        (command(121, "Document failed validation"), InvalidInput, false, "validator"),
        (command(424_242, "what"), Other, false, "code 424242"),
        (refused_write(11000, "E11000 duplicate key error"), AlreadyExists, false, "E11000"),
        (refused_write(17280, "key too large"), LimitExceeded, false, "16 MB"),
        (refused_write(14031, "no space"), Unavailable, false, "disk is full"),
        (unconfirmed_write(64, "waiting for replication timed out"), Timeout, true, "not confirmed"),
        (unconfirmed_write(91, "shutting down"), Unavailable, true, "not confirmed"),
        (unconfirmed_write(100, "Not enough data-bearing nodes"), Config, false, "fewer members"),
        (
            batch(doc! {"writeErrors": [{"index": 3, "code": 11000, "errmsg": "E11000"}]}),
            AlreadyExists,
            false,
            "E11000",
        ),
        (batch(doc! {"writeConcernError": {"code": 64, "errmsg": "slow"}}), Timeout, true, "not confirmed"),
        (
            batch(doc! {
                "writeErrors": [{"index": 3, "code": 11000, "errmsg": "E11000"}],
                "writeConcernError": {"code": 64, "errmsg": "slow"},
            }),
            Timeout,
            true,
            "not confirmed",
        ),
        (io(Io::ConnectionReset, "reset by peer"), Unavailable, true, "not known"),
        (io(Io::TimedOut, "timed out"), Timeout, true, "not known"),
        (io(Io::InvalidData, "invalid peer certificate: UnknownIssuer"), Config, false, "TLS"),
        (Driver::Shutdown.into(), Unavailable, false, "open it again"),
        (Driver::SessionsNotSupported.into(), Unsupported, false, "--replSet"),
        (Driver::MissingResumeToken.into(), InvalidInput, false, "_id"),
        (Driver::GridFs(GridFsErrorKind::WriteInProgress).into(), Other, false, "GridFS"),
    ];
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

/// The driver's commands and ours tell the same of a write that is not confirmed.
#[test]
fn unconfirmed_writes_are_told_alike() {
    for code in [64, 79, 91, 100, 189, 11_602] {
        let answer =
            doc! {"n": 1, "writeConcernError": {"code": code, "codeName": "X", "errmsg": "not there"}};
        let ours = not_confirmed(&answer).unwrap();
        let theirs = from_driver(unconfirmed_write(code, "not there"));
        assert_eq!((ours.kind(), ours.message()), (theirs.kind(), theirs.message()), "{code}");
        assert_eq!(ours.is_retryable(), theirs.is_retryable(), "{code}");
        assert_eq!(ours.backend(), theirs.backend());
    }
    assert!(not_confirmed(&doc! {"n": 1}).is_none());
}

#[test]
fn why_no_server_can_be_used_is_read_from_the_topology() {
    use ErrorKind::*;
    let one = |error: &str| {
        format!(
            "Server selection timeout: No available servers. Topology: {{ Type: Unknown, Servers: [ {{ Address: \
             db:27017, Type: Unknown, Error: Kind: I/O error: {error}, labels: {{}}, source: None }} ] }}"
        )
    };
    let empty_set = "Server selection timeout: No available servers. Topology: { Type: ReplicaSetNoPrimary, Set Name: \
                     wrong }";
    let no_primary = "Server selection timeout: None of the available servers suitable for criteria X. Topology: { \
                      Type: ReplicaSetNoPrimary, Set Name: rs0, Servers: [ { Address: a:1, Type: RsSecondary } ] }";
    let table = [
        (one("Connection refused (os error 111)"), Unavailable, "nothing listens"),
        (one("failed to lookup address information: Name or service not known"), Unavailable, "resolved"),
        (one("unexpected end of file"), Unavailable, "tls=true"),
        (one("tls handshake eof"), Unavailable, "tls=false"),
        (one("invalid peer certificate: UnknownIssuer"), Config, "UnknownIssuer; check tls"),
        (one("received fatal alert: HandshakeFailure"), Config, "HandshakeFailure; check tls"),
        (one("something else"), Unavailable, "check that the server runs"),
        (empty_set.to_owned(), Config, "replica set \"wrong\""),
        (no_primary.to_owned(), Unavailable, "no primary now"),
        ("what nobody knows".to_owned(), Unavailable, "none is known"),
    ];
    for (message, kind, part) in table {
        let (found, text) = no_server(&message);
        assert_eq!(found, kind, "{message}");
        assert!(text.contains(part), "{message}: {text}");
    }
}
