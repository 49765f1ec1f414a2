//! SECURITY.md names what holds its promises: tests, fuzz targets and files. They are there.

#![allow(clippy::unwrap_used, reason = "a test may end at once")]

use std::path::Path;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../");
const SECURITY: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../SECURITY.md"));

/// All Rust files below a folder, one after the other.
fn source(folder: &Path, text: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            source(&path, text);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            text.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn what_security_md_names_is_there() {
    let root = Path::new(ROOT);
    let mut tests = String::new();
    source(&root.join("crates"), &mut tests);
    let promised = SECURITY.split("\n## ").find(|part| part.starts_with("What is promised")).unwrap();
    let mut count = 0;
    for name in promised.split('`').skip(1).step_by(2) {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let is_source = Path::new(name).extension().is_some_and(|extension| extension == "rs");
        if is_source && !name.contains('*') && name.contains('/') {
            assert!(
                root.join("crates").join(name).is_file(),
                "SECURITY.md names {name}, which is no file in crates"
            );
        } else if name.chars().all(plain) {
            let target = root.join("fuzz/targets").join(format!("{name}.rs")).is_file();
            let test = tests.contains(&format!("fn {name}("));
            assert!(target || test, "SECURITY.md names {name}, which is no test and no fuzz target");
        } else {
            continue;
        }
        count += 1;
    }
    assert!(count > 30, "{count}");
}
