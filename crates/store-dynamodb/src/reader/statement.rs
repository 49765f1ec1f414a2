//! PartiQL statements, read closely enough to know that one only reads.
//!
//! A statement is cut into tokens, so that what stands in a text, in a quoted name or in a comment is taken for what it
//! is. It is let through when it is one statement, `SELECT … FROM table …`, in which no word of a writing statement
//! stands outside quotes; everything else is refused before it is sent.

use store_core::{Error, Result};

/// Words that no reading statement has; as names of attributes PartiQL wants them in quotes. `EXISTS` is a condition of
/// transactions that write.
const REFUSED: [&str; 19] = [
    "INSERT",
    "UPDATE",
    "DELETE",
    "REPLACE",
    "UPSERT",
    "MERGE",
    "INTO",
    "SET",
    "REMOVE",
    "RETURNING",
    "CREATE",
    "DROP",
    "ALTER",
    "EXEC",
    "EXECUTE",
    "BEGIN",
    "COMMIT",
    "EXISTS",
    "SELECT",
];

/// A statement that reads.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Select {
    pub(super) table: String,
    pub(super) index: Option<String>,
    /// How many `?` it has.
    pub(super) parameters: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token<'a> {
    /// A word or a number.
    Word(&'a str),
    /// In double quotes.
    Name(String),
    /// A text.
    Text,
    Sign(char),
}

/// Reads a statement. `InvalidInput` for one that is not known to read only.
pub(super) fn read_only(text: &str) -> Result<Select> {
    let tokens = tokens(text)?;
    let mut rest = tokens.as_slice();
    if let Some((Token::Sign(';'), before)) = rest.split_last() {
        rest = before;
    }
    if rest.contains(&Token::Sign(';')) {
        return refuse("there is more than one statement; give each a reader of its own");
    }
    match rest.split_first() {
        None => return refuse("there is no statement"),
        Some((Token::Word(word), after)) if word.eq_ignore_ascii_case("SELECT") => rest = after,
        Some((Token::Word(word), _)) => {
            return refuse(&format!("it begins with {word:?}; a reader takes SELECT only"));
        }
        Some(_) => return refuse("it does not begin with a word; a reader takes SELECT only"),
    }
    let mut open = Vec::new();
    let mut from = None;
    for (place, token) in rest.iter().enumerate() {
        match token {
            Token::Sign(sign @ ('(' | '[' | '{')) => open.push(*sign),
            Token::Sign(sign @ (')' | ']' | '}')) => {
                let fits =
                    matches!((open.pop(), sign), (Some('('), ')') | (Some('['), ']') | (Some('{'), '}'));
                if !fits {
                    return refuse(&format!("there is a {sign:?} without its beginning"));
                }
            }
            Token::Word(word) if REFUSED.iter().any(|refused| word.eq_ignore_ascii_case(refused)) => {
                return refuse(&format!(
                    "it has the word {word:?}, and a reader only reads; an attribute of that name stands in double \
                     quotes"
                ));
            }
            Token::Word(word) if word.eq_ignore_ascii_case("FROM") && open.is_empty() && from.is_none() => {
                from = Some(place);
            }
            _ => {}
        }
    }
    if let Some(open) = open.pop() {
        return refuse(&format!("there is a {open:?} without its end"));
    }
    let after = from.and_then(|from| rest.get(from + 1..)).unwrap_or_default();
    let Some(table) = after.first().and_then(name) else {
        return refuse("it does not say FROM which table");
    };
    let index = match after.get(1) {
        Some(Token::Sign('.')) => match after.get(2).and_then(name) {
            Some(index) => Some(index),
            None => return refuse("there is no index behind the table's name and its dot"),
        },
        _ => None,
    };
    let parameters = rest.iter().filter(|token| **token == Token::Sign('?')).count();
    Ok(Select { table, index, parameters })
}

fn name(token: &Token<'_>) -> Option<String> {
    match token {
        Token::Word(word) => Some((*word).to_owned()),
        Token::Name(name) => Some(name.clone()),
        Token::Text | Token::Sign(_) => None,
    }
}

fn refuse<T>(why: &str) -> Result<T> {
    Err(Error::invalid_input(format!("the PartiQL statement is refused: {why}")))
}

fn tokens(text: &str) -> Result<Vec<Token<'_>>> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let after = rest.get(first.len_utf8()..).unwrap_or_default();
        if first.is_whitespace() {
            rest = after;
        } else if let Some(comment) = rest.strip_prefix("--") {
            // A carriage return may end a line for one reader and not for another.
            let end = comment.find(['\n', '\r']).unwrap_or(comment.len());
            let next = comment.get(end..).unwrap_or_default();
            if next.starts_with('\r') && !next.starts_with("\r\n") {
                return refuse("a comment has a carriage return in it");
            }
            rest = next;
        } else if let Some(comment) = rest.strip_prefix("/*") {
            let Some((comment, next)) = comment.split_once("*/") else {
                return refuse("a comment has no end");
            };
            if comment.contains("/*") {
                return refuse("there is a comment within a comment");
            }
            rest = next;
        } else if first == '`' {
            return refuse("it has a literal of Ion in backticks; give the value as a parameter");
        } else if matches!(first, '\'' | '"') {
            let Some((content, next)) = quoted(after, first) else {
                return refuse(&format!("there is a {first} without its end"));
            };
            tokens.push(if first == '"' { Token::Name(content) } else { Token::Text });
            rest = next;
        } else if is_word(first) {
            let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            let (word, next) = rest.split_at(end);
            tokens.push(Token::Word(word));
            rest = next;
        } else {
            tokens.push(Token::Sign(first));
            rest = after;
        }
    }
    Ok(tokens)
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '$' | '@' | '#')
}

/// What stands up to the closing quote, which is doubled within, and what follows.
fn quoted(text: &str, quote: char) -> Option<(String, &str)> {
    let mut content = String::new();
    let mut rest = text;
    loop {
        let (part, next) = rest.split_once(quote)?;
        content.push_str(part);
        match next.strip_prefix(quote) {
            Some(next) => {
                content.push(quote);
                rest = next;
            }
            None => return Some((content, next)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_statements_are_let_through() {
        for (text, table, index, parameters) in [
            ("SELECT * FROM t", "t", None, 0),
            (
                "select \"a\".b, c[0] from \"my.table\" where pk = ? and sk >= ? order by sk desc ;",
                "my.table",
                None,
                2,
            ),
            ("SELECT * FROM \"t\".\"by-date\" WHERE a = 'DELETE FROM t; ?'", "t", Some("by-date"), 0),
            (
                "SELECT \"delete\", \"a\"\"b\" FROM t -- UPDATE t SET a = 1;\n WHERE b = 'it''s; INSERT'",
                "t",
                None,
                0,
            ),
            ("/* DELETE; */ SELECT * /* ? */ FROM t.i", "t", Some("i"), 0),
            ("SELECT * FROM t WHERE contains(a, '{{insert}}') AND b IN [?, ?]", "t", None, 2),
            ("SELECT updated, deleted, inserted_set FROM t", "t", None, 0),
        ] {
            let expected = Select { table: table.into(), index: index.map(Into::into), parameters };
            assert_eq!(read_only(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "",
            " ; ",
            "-- SELECT * FROM t",
            "DELETE FROM t WHERE pk = 'a'",
            "  /* SELECT */ UPDATE t SET a = 1 WHERE pk = 'a'",
            "INSERT INTO t VALUE {'pk': 'SELECT * FROM t'}",
            "EXISTS(SELECT * FROM t WHERE pk = 'a')",
            "SELECT * FROM t; DELETE FROM t WHERE pk = 'a'",
            "SELECT * FROM t;;",
            "SELECT * FROM t WHERE a = 'x'; -- \n DELETE FROM t",
            "SELECT * FROM t WHERE EXISTS(SELECT * FROM u)",
            "SELECT * FROM t WHERE a = 'x' RETURNING ALL OLD *",
            "SELECT * FROM (DELETE FROM t)",
            "SELECT * FROM t WHERE a = 'open",
            "SELECT * FROM t WHERE \"open",
            "SELECT * FROM t /* open",
            "SELECT * FROM t /* a /* b */ DELETE */",
            "SELECT * FROM t -- a\rDELETE FROM t",
            "SELECT * FROM t WHERE (a = 1",
            "SELECT * FROM t WHERE a = 1)",
            "SELECT * FROM t WHERE a = (1]",
            "SELECT 1",
            "SELECT * FROM",
            "SELECT * FROM 't'",
            "SELECT * FROM t.",
            "SELECT * FROM t WHERE a = `x`",
            "SELECT * FROM t WHERE a.set = 1",
            "'SELECT' * FROM t",
            "\u{ff33}ELECT * FROM t",
            "EXPLAIN SELECT * FROM t",
        ] {
            let refused = read_only(text);
            assert!(refused.is_err(), "{text}: {refused:?}");
        }
    }
}
