//! What the bodies of all fuzz targets share. Each crate with bodies includes this file in its module `fuzzing`.

use std::error::Error as StdError;

use super::Error;
use serde_json::Value;

/// What stands for a text that somebody stored: an error may show the beginning of a name, never the whole.
pub(crate) const STORED: &str = "hunter2-hunter2-hunter2-hunter2-hunter2-hunter2-hunter2-hunter2";

/// Runs a target's body on every file of its corpus: what was found once stays mended.
#[cfg(test)]
pub(crate) fn replay(target: &str, body: fn(&[u8])) {
    let folder = format!("{}/../../fuzz/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
    let mut count = 0;
    for file in std::fs::read_dir(&folder).unwrap() {
        let path = file.unwrap().path();
        println!("{}", path.display());
        body(&std::fs::read(&path).unwrap());
        count += 1;
    }
    assert!(count > 0, "{folder} is empty");
}

/// All that a person may see of an error: its sentence, its `Debug`, its causes.
pub(crate) fn shown(error: &Error) -> String {
    let mut shown = vec![format!("{error} {error:?}")];
    let mut cause = error.source();
    while let Some(error) = cause {
        shown.push(format!("{error} {error:?}"));
        cause = error.source();
    }
    shown.join(" ")
}

/// An error names a place: a member, a setting, a line, a number, or the key.
pub(crate) fn check_place(error: &Error) {
    let message = error.message();
    let names = message.contains(['"', '`', '\'', '^', '[', '_'])
        || ["line ", "store."].iter().any(|place| message.contains(place))
        || message.contains(": ");
    let counts = message.chars().any(|c| c.is_ascii_digit());
    assert!(names || counts || error.key().is_some(), "no place: {error}");
}

/// [`check_place`], and nothing is shown of what was stored.
pub(crate) fn check_error(error: &Error) {
    check_place(error);
    assert!(!shown(error).contains(STORED), "what was stored is shown: {error:?}");
}

/// Up to so many parts, cut at zero bytes; those that are missing are empty.
pub(crate) fn parts<const N: usize>(data: &[u8]) -> [&[u8]; N] {
    let mut parts = data.splitn(N, |byte| *byte == 0);
    std::array::from_fn(|_| parts.next().unwrap_or_default())
}

/// The text that a part is.
pub(crate) fn text(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(data).ok()
}

/// The JSON value that a part is.
pub(crate) fn json(data: &[u8]) -> Option<Value> {
    serde_json::from_slice(data).ok()
}
