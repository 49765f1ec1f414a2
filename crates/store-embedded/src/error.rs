//! The one mapping from the engine's errors to ours.

use std::io::ErrorKind as Io;

use store_core::{Error, ErrorKind};

/// The backend's name in errors and in `Backend::name`.
pub(crate) const NAME: &str = "embedded";

/// Our error for one of redb. The original stays as the source, which [`is_broken`] reads.
pub(crate) fn from_redb(error: impl Into<redb::Error>) -> Error {
    let error = error.into();
    let (kind, message) = match &error {
        redb::Error::DatabaseAlreadyOpen => (
            ErrorKind::Unavailable,
            "the store is open in another process; close it there, or open another folder".to_owned(),
        ),
        redb::Error::Io(io) => return from_io(io.kind(), &io.to_string()).with_source(error),
        redb::Error::PreviousIo | redb::Error::DatabaseClosed => (
            ErrorKind::Unavailable,
            "an earlier disk error stopped the store; repeat the call, the store opens itself again"
                .to_owned(),
        ),
        redb::Error::Corrupted(what) => (ErrorKind::Corrupt, damaged(what)),
        redb::Error::UpgradeRequired(version) => (
            ErrorKind::Config,
            format!("the file has the engine's old format {version}, which this version can not open"),
        ),
        redb::Error::ValueTooLarge(bytes) => {
            (ErrorKind::LimitExceeded, format!("a value of {bytes} bytes is more than the engine can hold"))
        }
        redb::Error::TableTypeMismatch { .. }
        | redb::Error::TableIsMultimap(_)
        | redb::Error::TableIsNotMultimap(_)
        | redb::Error::TypeDefinitionChanged { .. } => (
            ErrorKind::Corrupt,
            "the file holds tables of another program; open the folder of a nodestore store".to_owned(),
        ),
        _ => (ErrorKind::Other, error.to_string()),
    };
    Error::new(kind, message).with_backend(NAME).with_source(error)
}

/// Our error for an input or output error; the caller adds the source.
pub(crate) fn from_io(kind: Io, text: &str) -> Error {
    let full = "the disk is full: nothing of this call was written. Free some space and repeat it; \
                reads go on meanwhile";
    let (kind, message, retryable) = match kind {
        Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge => {
            (ErrorKind::Unavailable, full.to_owned(), false)
        }
        Io::PermissionDenied | Io::ReadOnlyFilesystem => (
            ErrorKind::Unavailable,
            format!("the folder can not be written ({text}); make it writable, or open another folder"),
            false,
        ),
        Io::InvalidData | Io::UnexpectedEof => (ErrorKind::Corrupt, damaged(text), false),
        Io::ResourceBusy | Io::WouldBlock => (
            ErrorKind::Unavailable,
            "the store is open in another process; close it there, or open another folder".to_owned(),
            true,
        ),
        _ => (ErrorKind::Unavailable, format!("the disk answers with an error: {text}"), true),
    };
    Error::new(kind, message).with_retryable(retryable).with_backend(NAME)
}

/// Whether the engine refuses all further work until its file is opened again.
pub(crate) fn is_broken(error: &Error) -> bool {
    matches!(
        error.downcast_ref(),
        Some(
            redb::Error::Io(_)
                | redb::Error::PreviousIo
                | redb::Error::DatabaseClosed
                | redb::Error::LockPoisoned(_)
        )
    )
}

/// The error of a panic inside the engine: it reads a damaged page that way.
pub(crate) fn from_panic(panic: &(dyn std::any::Any + Send)) -> Error {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    Error::corrupt(damaged(text)).with_backend(NAME)
}

/// The error of every call after `close`.
pub(crate) fn closed() -> Error {
    Error::closed().with_backend(NAME)
}

/// Names the backend and the operation in an error on its way out.
pub(crate) fn at(operation: &'static str) -> impl Fn(Error) -> Error {
    move |error| error.with_backend(NAME).with_operation(operation)
}

fn damaged(why: &str) -> String {
    format!(
        "the store's file is damaged, or no store at all ({why}); restore it from a copy, or open another folder"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_engine_error_has_its_kind() {
        let io = |kind: Io| redb::Error::Io(kind.into());
        let table = [
            (redb::Error::DatabaseAlreadyOpen, ErrorKind::Unavailable, true),
            (io(Io::StorageFull), ErrorKind::Unavailable, false),
            (io(Io::ReadOnlyFilesystem), ErrorKind::Unavailable, false),
            (io(Io::PermissionDenied), ErrorKind::Unavailable, false),
            (io(Io::InvalidData), ErrorKind::Corrupt, false),
            (io(Io::UnexpectedEof), ErrorKind::Corrupt, false),
            (io(Io::Other), ErrorKind::Unavailable, true),
            (redb::Error::PreviousIo, ErrorKind::Unavailable, true),
            (redb::Error::DatabaseClosed, ErrorKind::Unavailable, true),
            (redb::Error::Corrupted("page 7".into()), ErrorKind::Corrupt, false),
            (redb::Error::UpgradeRequired(2), ErrorKind::Config, false),
            (redb::Error::ValueTooLarge(9), ErrorKind::LimitExceeded, false),
            (redb::Error::TableIsMultimap("x".into()), ErrorKind::Corrupt, false),
            (redb::Error::TransactionPoisoned, ErrorKind::Other, false),
        ];
        for (engine, kind, retryable) in table {
            let text = engine.to_string();
            let error = from_redb(engine);
            assert_eq!((error.kind(), error.is_retryable()), (kind, retryable), "{text}");
            assert!(error.downcast_ref::<redb::Error>().is_some(), "{text} is not the source");
            assert_eq!(error.backend(), Some(NAME));
        }
    }

    #[test]
    fn only_disk_errors_break_the_handle() {
        assert!(is_broken(&from_redb(redb::Error::PreviousIo)));
        assert!(is_broken(&from_redb(redb::Error::Io(Io::StorageFull.into()))));
        assert!(!is_broken(&from_redb(redb::Error::ValueTooLarge(9))));
        assert!(!is_broken(&closed()));
    }
}
