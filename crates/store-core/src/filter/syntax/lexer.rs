//! Text into tokens, one at a time, so that the first error in the text is the one reported.

use super::report::Problem;
use super::{continues_name, keyword, starts_name};
use crate::filter::Timestamp;
use crate::filter::validate::is_json_integer;
use crate::json::shorten;

type Result<T, E = Problem> = std::result::Result<T, E>;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// A bare word that is a keyword, in lower case.
    Keyword(&'static str),
    /// A key, its parts joined by dots.
    Key(String),
    Text(String),
    Integer(i128),
    Float(f64),
    Timestamp(Timestamp),
    /// `( ) [ ] ,` and the comparison operators.
    Symbol(&'static str),
    End,
}

/// A token and the bytes it takes in the text.
#[derive(Clone, Debug)]
pub(super) struct Lexed {
    pub(super) token: Token,
    pub(super) start: usize,
    pub(super) end: usize,
}

pub(super) struct Lexer<'a> {
    source: &'a str,
    position: usize,
}

/// Characters that comparison operators, and their common slips, are made of.
const OPERATOR_CHARS: &str = "=!<>&|~:+*/%^?;";
const SYMBOLS: [&str; 12] = ["(", ")", "[", "]", ",", "==", "=", "!=", "<", "<=", ">", ">="];

impl<'a> Lexer<'a> {
    pub(super) fn new(source: &'a str) -> Self {
        Self { source, position: 0 }
    }

    pub(super) fn next(&mut self) -> Result<Lexed> {
        self.take_while(char::is_whitespace);
        let start = self.position;
        let token = match self.peek() {
            None => Token::End,
            Some('"' | '\'') => Token::Text(self.quoted()?),
            Some('@') => self.timestamp()?,
            Some('`') => self.key()?,
            Some(c) if starts_name(c) => self.key()?,
            Some(c) if c.is_ascii_digit() || c == '-' || c == '.' => self.number()?,
            Some(c) => self.symbol(c)?,
        };
        Ok(Lexed { token, start, end: self.position })
    }

    fn rest(&self) -> &'a str {
        self.source.get(self.position..).unwrap_or("")
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn take(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.position += c.len_utf8();
        Some(c)
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let length = rest.find(|c| !wanted(c)).unwrap_or(rest.len());
        self.position += length;
        rest.get(..length).unwrap_or("")
    }

    fn symbol(&mut self, first: char) -> Result<Token> {
        let start = self.position;
        let text = if OPERATOR_CHARS.contains(first) {
            self.take_while(|c| OPERATOR_CHARS.contains(c))
        } else {
            self.take();
            self.source.get(start..self.position).unwrap_or("")
        };
        if let Some(symbol) = SYMBOLS.into_iter().find(|symbol| *symbol == text) {
            return Ok(Token::Symbol(symbol));
        }
        let hint = match text {
            "&" | "&&" => "write `and`",
            "|" | "||" => "write `or`",
            "!" => "write `not`",
            "<>" | "!==" | "~=" => "write `!=`",
            "===" | ":" => "write `==`",
            "=>" => "write `>=`",
            "=<" => "write `<=`",
            "~" | "=~" | "~~" => "write `matches \"text\"` for a text that holds it",
            "~*" => "write `imatches \"text\"` for a text that holds it in any case",
            "“" | "”" | "‘" | "’" | "«" | "»" => {
                "texts stand in straight quotes: \"text\" or 'text'"
            }
            "{" | "}" => "lists stand in `[ ]`, groups in `( )`",
            _ => "a field name with such a character stands in backticks, a text in quotes",
        };
        Err(Problem::new(start, format!("unexpected `{}`", text.escape_debug())).with_hint(hint))
    }

    /// A key: parts joined by dots, each a name or in backticks. A lone bare word may be a keyword.
    fn key(&mut self) -> Result<Token> {
        let mut path = String::new();
        let mut bare = true;
        loop {
            let part = self.position;
            match self.peek() {
                Some('`') => {
                    bare = false;
                    let quoted = self.quoted()?;
                    if quoted.split('.').any(str::is_empty) {
                        return Err(Problem::new(part, "a field name has an empty part")
                            .with_hint("parts of a path are joined by single dots"));
                    }
                    path.push_str(&quoted);
                }
                Some(c) if starts_name(c) => path.push_str(self.take_while(continues_name)),
                _ => {
                    return Err(Problem::new(part, "expected the next part of the field name after `.`")
                        .with_hint("a part that does not start with a letter stands in backticks: a.`1st`"));
                }
            }
            if self.peek() != Some('.') {
                break;
            }
            self.take();
            path.push('.');
        }
        if let Some(keyword) = keyword(&path).filter(|_| bare) {
            return Ok(Token::Keyword(keyword));
        }
        // A quote or backtick that touches a name would be read as a new token, which hides the slip.
        if let Some(quote @ ('"' | '\'' | '`')) = self.peek() {
            return Err(Problem::new(self.position, format!("unexpected `{quote}` in a field name"))
                .with_hint(
                    "an odd field name stands in backticks as a whole; a quote within a text is escaped: \\'",
                ));
        }
        Ok(Token::Key(path))
    }

    /// A number; anything that starts like one and is none is an error, never two tokens.
    fn number(&mut self) -> Result<Token> {
        let start = self.position;
        let text = self.take_while(|c| c.is_alphanumeric() || "_.:+-".contains(c));
        let problem = |message: String| Problem::new(start, message);
        match number_kind(text) {
            Some(NumberKind::Integer) => match text.parse::<i128>() {
                Ok(integer) if is_json_integer(integer) => Ok(Token::Integer(integer)),
                _ => Err(problem(format!("the integer {} is outside 64 bits", shorten(text)))
                    .with_hint("write it as a float (with `.0`), or in quotes if it is a text")),
            },
            Some(NumberKind::Float) => match text.parse::<f64>() {
                Ok(float) if float.is_finite() => Ok(Token::Float(float)),
                _ => Err(problem(format!("the number {} is too large for a float", shorten(text)))),
            },
            None => {
                let problem = problem(format!("`{}` is not a number", shorten(text)));
                Err(if Timestamp::from_iso(text).is_some() {
                    problem.with_hint(format!("write @{text} for a timestamp, \"{text}\" for a text"))
                } else {
                    problem.with_hint("numbers look like 12, -3, 0.5 or 1e6; texts stand in quotes")
                })
            }
        }
    }

    /// `@` and a timestamp, in quotes if it holds a space.
    fn timestamp(&mut self) -> Result<Token> {
        let start = self.position;
        self.take();
        let quoted;
        let text = match self.peek() {
            Some('"' | '\'') => {
                quoted = self.quoted()?;
                quoted.as_str()
            }
            _ => self.take_while(|c| c.is_alphanumeric() || "_.:+-".contains(c)),
        };
        Timestamp::from_iso(text).map(Token::Timestamp).ok_or_else(|| {
            Problem::new(start, "expected a timestamp after `@`")
                .with_hint("write @2024-05-01 or @2024-05-01T12:00:00Z (or an offset like +02:00)")
        })
    }

    /// A text in the quote that comes next, with JSON's escapes and that of the quote itself.
    fn quoted(&mut self) -> Result<String> {
        let start = self.position;
        let quote = self.take();
        let mut text = String::new();
        loop {
            let position = self.position;
            match self.take() {
                None => {
                    return Err(Problem::new(
                        start,
                        match quote {
                            Some('`') => "this field name has no closing backtick",
                            _ => "this text has no closing quote",
                        },
                    ));
                }
                c if c == quote => return Ok(text),
                Some('\\') => text.push(self.escape(position)?),
                Some(c) => text.push(c),
            }
        }
    }

    /// What stands after a backslash; `start` is the backslash.
    fn escape(&mut self, start: usize) -> Result<char> {
        match self.take() {
            Some(c @ ('"' | '\'' | '`' | '\\' | '/')) => Ok(c),
            Some('b') => Ok('\u{8}'),
            Some('f') => Ok('\u{c}'),
            Some('n') => Ok('\n'),
            Some('r') => Ok('\r'),
            Some('t') => Ok('\t'),
            Some('u') => self.unicode_escape().ok_or_else(|| {
                Problem::new(start, "expected four hexadecimal digits of a character after `\\u`")
                    .with_hint("a character beyond U+FFFF is a pair: \\ud83d\\ude80")
            }),
            _ => Err(Problem::new(start, "unknown escape").with_hint("write a backslash itself as `\\\\`")),
        }
    }

    /// Four digits after `\u`, or a pair of surrogates.
    fn unicode_escape(&mut self) -> Option<char> {
        let first = self.four_digits()?;
        if !(0xd800..0xdc00).contains(&first) {
            return char::from_u32(first);
        }
        let second = (self.take()? == '\\' && self.take()? == 'u').then(|| self.four_digits())??;
        let low = second.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
        char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + low)
    }

    fn four_digits(&mut self) -> Option<u32> {
        (0..4).try_fold(0, |number, _| Some(number * 16 + self.take()?.to_digit(16)?))
    }
}

enum NumberKind {
    Integer,
    Float,
}

/// JSON's grammar of numbers.
fn number_kind(text: &str) -> Option<NumberKind> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))),
        None => (text, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let whole = whole.strip_prefix('-').unwrap_or(whole);
    let plain = digits(whole) && (whole == "0" || !whole.starts_with('0'));
    if !plain || fraction.is_some_and(|part| !digits(part)) || exponent.is_some_and(|part| !digits(part)) {
        return None;
    }
    let integer = fraction.is_none() && exponent.is_none();
    Some(if integer { NumberKind::Integer } else { NumberKind::Float })
}
