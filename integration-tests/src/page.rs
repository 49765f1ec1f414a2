//! Pages that have parts which tests make.

use std::fs;
use std::path::{Path, PathBuf};

/// Set to have such parts written into their pages.
const UPDATE: &str = "NODESTORE_UPDATE_PAGES";

/// Holds parts that a test made, each with its name, against the page that has them: a file of the workspace. A part
/// stands between the lines `<!-- NAME: made by … -->` and `<!-- NAME: end -->`.
///
/// Fails where the page shows something else; with `NODESTORE_UPDATE_PAGES=1` writes the parts there instead.
pub fn hold(page: &str, parts: &[(&str, String)]) -> Result<(), String> {
    let shown = read(page)?;
    let mut made = shown.clone();
    for (name, text) in parts {
        made = with_part(&made, name, text).ok_or_else(|| format!("{page} has no marks around {name}"))?;
    }
    if made == shown {
        return Ok(());
    }
    if std::env::var_os(UPDATE).is_some() {
        return fs::write(path(page), made).map_err(|error| format!("{page}: {error}"));
    }
    let missing = made.lines().find(|line| !shown.lines().any(|other| other == *line));
    let what = missing.map_or("shows lines that are not made any more".to_owned(), |line| {
        format!("lacks the line {line:?}, among others")
    });
    Err(format!("{page} {what}; {UPDATE}=1 writes what is made now there"))
}

/// The text of a page.
pub fn read(page: &str) -> Result<String, String> {
    fs::read_to_string(path(page)).map_err(|error| format!("{page}: {error}"))
}

fn path(page: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(page)
}

/// The page with this text in the part of this name; `None` where it has no such part.
fn with_part(page: &str, name: &str, text: &str) -> Option<String> {
    let begin = page.find(&format!("<!-- {name}: made by "))?;
    let start = begin + page.get(begin..)?.find(" -->\n")? + " -->\n".len();
    let end = start + page.get(start..)?.find(&format!("<!-- {name}: end -->\n"))?;
    Some([page.get(..start)?, text, page.get(end..)?].concat())
}

#[cfg(test)]
mod tests {
    use super::with_part;

    const PAGE: &str = "a\n<!-- x: made by a test -->\nold\n<!-- x: end -->\nb\n";

    #[test]
    fn a_part_is_replaced_and_the_rest_stays() {
        let made = with_part(PAGE, "x", "new\n");
        assert_eq!(made.as_deref(), Some("a\n<!-- x: made by a test -->\nnew\n<!-- x: end -->\nb\n"));
        assert_eq!(with_part(PAGE, "x", "old\n").as_deref(), Some(PAGE));
    }

    #[test]
    fn a_page_without_both_marks_has_no_such_part() {
        assert_eq!(with_part(PAGE, "y", ""), None);
        assert_eq!(with_part(&PAGE.replace("<!-- x: end -->", ""), "x", ""), None);
        assert_eq!(with_part(&PAGE.replace("made by", "by"), "x", ""), None);
    }
}
