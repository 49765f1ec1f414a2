//! Tokens into a filter, by recursive descent: `or` above `and` above `not` above conditions.

use super::lexer::{Lexed, Lexer, Token};
use super::report::Problem;
use crate::Result as CrateResult;
use crate::filter::build::grouped;
use crate::filter::{Condition, Field, Filter, MAX_DEPTH, Scalar, field};
use crate::json::shorten;

type Result<T, E = Problem> = std::result::Result<T, E>;

/// A filter `MAX_DEPTH` deep prints with at most two parentheses or negations per level.
const MAX_NESTING: usize = 2 * MAX_DEPTH;

pub(super) fn parse(source: &str) -> CrateResult<Filter> {
    let filter = Parser::new(source).and_then(Parser::whole).map_err(|problem| problem.into_error(source))?;
    filter.validate()?;
    Ok(filter)
}

struct Parser<'a> {
    source: &'a str,
    lexer: Lexer<'a>,
    current: Lexed,
    /// Open parentheses and negations.
    nesting: usize,
}

impl<'a> Parser<'a> {
    fn new(source: &'a str) -> Result<Self> {
        let mut lexer = Lexer::new(source);
        let current = lexer.next()?;
        Ok(Self { source, lexer, current, nesting: 0 })
    }

    fn whole(mut self) -> Result<Filter> {
        if self.current.token == Token::End {
            return Err(self.problem("the filter is empty").with_hint("`all()` matches everything"));
        }
        let filter = self.or()?;
        match self.current.token {
            Token::End => Ok(filter),
            Token::Symbol(")") => Err(self.problem("this `)` closes nothing")),
            _ => Err(self.not_joined()),
        }
    }

    fn or(&mut self) -> Result<Filter> {
        let mut filters = vec![self.and()?];
        while self.takes_keyword("or")? {
            filters.push(self.and()?);
        }
        Ok(grouped(filters, Filter::Any))
    }

    fn and(&mut self) -> Result<Filter> {
        let mut filters = vec![self.not()?];
        while self.takes_keyword("and")? {
            filters.push(self.not()?);
        }
        Ok(grouped(filters, Filter::All))
    }

    fn not(&mut self) -> Result<Filter> {
        if self.current.token != Token::Keyword("not") {
            return self.primary();
        }
        self.enter()?;
        self.advance()?;
        let filter = self.not()?;
        self.nesting -= 1;
        Ok(Filter::Not(Box::new(filter)))
    }

    fn primary(&mut self) -> Result<Filter> {
        match &self.current.token {
            Token::Symbol("(") => self.parenthesised(),
            Token::Key(key) => {
                let key = key.clone();
                let taken = self.advance()?;
                if self.current.token == Token::Symbol("(") {
                    return self.call(&key, taken.start);
                }
                self.condition(field(key), &taken)
            }
            _ => Err(self.no_condition()),
        }
    }

    fn parenthesised(&mut self) -> Result<Filter> {
        let open = self.enter()?;
        self.advance()?;
        let filter = self.or()?;
        self.close(")", open)?;
        self.nesting -= 1;
        Ok(filter)
    }

    /// `all(…)` and `any(…)`; the word is read, the parenthesis is not.
    fn call(&mut self, word: &str, start: usize) -> Result<Filter> {
        let group: fn(Vec<Filter>) -> Filter = match word.to_ascii_lowercase().as_str() {
            "all" => Filter::All,
            "any" => Filter::Any,
            _ => {
                return Err(Problem::new(start, format!("unknown function `{}`", shorten(word))).with_hint(
                    "only `all( , )` and `any( , )` are followed by a parenthesis; lists stand in `[ ]`",
                ));
            }
        };
        let open = self.enter()?;
        self.advance()?;
        let mut filters = Vec::new();
        if self.current.token != Token::Symbol(")") {
            filters.push(self.or()?);
            while self.takes_symbol(",")? {
                filters.push(self.or()?);
            }
        }
        self.close(")", open)?;
        self.nesting -= 1;
        Ok(group(filters))
    }

    /// What stands after a key, which was `taken`.
    fn condition(&mut self, field: Field, taken: &Lexed) -> Result<Filter> {
        let operator = self.current.clone();
        match operator.token {
            Token::Symbol(symbol @ ("==" | "=" | "!=" | "<" | "<=" | ">" | ">=")) => {
                self.advance()?;
                self.comparison(field, symbol, &operator)
            }
            Token::Keyword("is") => {
                self.advance()?;
                self.is(field)
            }
            Token::Keyword("exists") => {
                self.advance()?;
                Ok(field.exists())
            }
            Token::Keyword("not") => {
                self.advance()?;
                match self.current.token {
                    Token::Keyword("exists") => {
                        self.advance()?;
                        Ok(field.is_missing())
                    }
                    Token::Keyword("in") => {
                        let list = self.advance()?;
                        Ok(field.none_of(self.list(&list)?))
                    }
                    Token::Keyword("contains" | "matches" | "imatches" | "between") => {
                        Ok(Filter::Not(Box::new(self.word_condition(field)?)))
                    }
                    _ => Err(self
                        .problem("expected an operator after `not`")
                        .with_hint("in, contains, matches, imatches, between, exists")),
                }
            }
            Token::Keyword("in" | "contains" | "matches" | "imatches" | "between") => {
                self.word_condition(field)
            }
            Token::Keyword("and" | "or") | Token::Symbol(")" | ",") | Token::End => Ok(field.eq(true)),
            _ => Err(self.no_operator(taken)),
        }
    }

    fn comparison(&mut self, field: Field, symbol: &str, operator: &Lexed) -> Result<Filter> {
        let equality = matches!(symbol, "==" | "=" | "!=");
        let start = self.current.start;
        let value = self.scalar(operator)?;
        if !equality {
            refuse_bool(&value, start)?;
        }
        Ok(match symbol {
            "!=" => field.ne(value),
            "<" => field.lt(value),
            "<=" => field.lte(value),
            ">" => field.gt(value),
            ">=" => field.gte(value),
            _ => field.eq(value),
        })
    }

    /// `is [not] empty|null`.
    fn is(&mut self, field: Field) -> Result<Filter> {
        let negated = self.takes_keyword("not")?;
        let filter = match &self.current.token {
            Token::Keyword("null") if negated => field.ne(Scalar::Null),
            Token::Keyword("null") => field.eq(Scalar::Null),
            Token::Key(word) if word.eq_ignore_ascii_case("empty") => {
                let empty = field.is_empty();
                if negated { Filter::Not(Box::new(empty)) } else { empty }
            }
            _ => {
                return Err(self
                    .problem("expected `empty` or `null` after `is`")
                    .with_hint("compare with other values by `==`"));
            }
        };
        self.advance()?;
        Ok(filter)
    }

    /// `in`, `contains`, `matches`, `imatches` or `between`, which is the current token.
    fn word_condition(&mut self, field: Field) -> Result<Filter> {
        let operator = self.advance()?;
        match operator.token {
            Token::Keyword("in") => Ok(field.one_of(self.list(&operator)?)),
            Token::Keyword("between") => {
                let low = self.ordered_scalar(&operator)?;
                if self.current.token != Token::Keyword("and") {
                    return Err(self
                        .problem("expected `and` between the two values")
                        .with_hint("`key between 1 and 9`, both included"));
                }
                let and = self.advance()?;
                Ok(field.between(low, self.ordered_scalar(&and)?))
            }
            Token::Keyword("contains") => match &self.current.token {
                Token::Key(word) if word.eq_ignore_ascii_case("any") => {
                    let any = self.advance()?;
                    Ok(field.contains_any(self.list(&any)?))
                }
                Token::Key(word) if word.eq_ignore_ascii_case("all") => {
                    let all = self.advance()?;
                    Ok(field.contains_all(self.list(&all)?))
                }
                Token::Symbol("[") => Err(self
                    .problem("expected `any`, `all` or a single value after `contains`")
                    .with_hint("`contains any [..]` for at least one of them, `contains all [..]` for each")),
                _ => Ok(field.contains(self.scalar(&operator)?)),
            },
            _ => {
                let start = self.current.start;
                let Scalar::Text(part) = self.scalar(&operator)? else {
                    return Err(Problem::new(
                        start,
                        format!("expected a text after `{}`", self.text(&operator)),
                    )
                    .with_hint("texts stand in quotes"));
                };
                let insensitive = operator.token == Token::Keyword("imatches");
                let condition = if insensitive {
                    Condition::TextMatchInsensitive(part)
                } else {
                    Condition::TextMatch(part)
                };
                Ok(field.is(condition))
            }
        }
    }

    fn list(&mut self, after: &Lexed) -> Result<Vec<Scalar>> {
        if self.current.token != Token::Symbol("[") {
            let mut problem = self.problem(format!("expected a list after `{}`", self.text(after)));
            if !matches!(self.current.token, Token::End | Token::Keyword(_)) {
                problem = problem.with_hint("lists stand in `[ ]`: [\"a\", \"b\"]");
            }
            return Err(problem);
        }
        let mut before = self.advance()?;
        let open = before.start;
        let mut values = Vec::new();
        while self.current.token != Token::Symbol("]") {
            values.push(self.scalar(&before)?);
            if self.current.token != Token::Symbol(",") {
                break;
            }
            before = self.advance()?;
            if self.current.token == Token::Symbol("]") {
                return Err(self.no_value(&before));
            }
        }
        self.close("]", open)?;
        Ok(values)
    }

    fn ordered_scalar(&mut self, after: &Lexed) -> Result<Scalar> {
        let start = self.current.start;
        let value = self.scalar(after)?;
        refuse_bool(&value, start)?;
        Ok(value)
    }

    /// The value that follows the token `after`.
    fn scalar(&mut self, after: &Lexed) -> Result<Scalar> {
        let scalar = match &self.current.token {
            Token::Text(text) => Scalar::Text(text.clone()),
            Token::Integer(integer) => Scalar::Integer(*integer),
            Token::Float(float) => Scalar::Float(*float),
            Token::Timestamp(timestamp) => Scalar::Timestamp(*timestamp),
            Token::Keyword("true") => Scalar::Bool(true),
            Token::Keyword("false") => Scalar::Bool(false),
            Token::Keyword("null") => Scalar::Null,
            _ => return Err(self.no_value(after)),
        };
        self.advance()?;
        Ok(scalar)
    }

    /// Takes the closing bracket of the one at `open`.
    fn close(&mut self, bracket: &str, open: usize) -> Result<()> {
        match &self.current.token {
            Token::Symbol(symbol) if *symbol == bracket => self.advance().map(drop),
            Token::End => {
                let opening = if bracket == "]" { "[" } else { "(" };
                Err(Problem::new(open, format!("this `{opening}` is never closed")))
            }
            _ if bracket == "]" => Err(self.problem("expected `,` or `]` in the list")),
            Token::Symbol("]") => Err(self.problem("expected `)`, found `]`")),
            _ => Err(self.not_joined()),
        }
    }

    /// Takes the current token and reads the next.
    fn advance(&mut self) -> Result<Lexed> {
        let next = self.lexer.next()?;
        Ok(std::mem::replace(&mut self.current, next))
    }

    fn takes_keyword(&mut self, keyword: &'static str) -> Result<bool> {
        self.takes(&Token::Keyword(keyword))
    }

    fn takes_symbol(&mut self, symbol: &'static str) -> Result<bool> {
        self.takes(&Token::Symbol(symbol))
    }

    fn takes(&mut self, token: &Token) -> Result<bool> {
        let found = self.current.token == *token;
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    /// Goes one level deeper at the current token, whose place it answers.
    fn enter(&mut self) -> Result<usize> {
        self.nesting += 1;
        if self.nesting > MAX_NESTING {
            return Err(self.problem(format!("the filter nests more than {MAX_DEPTH} deep")));
        }
        Ok(self.current.start)
    }

    fn text(&self, token: &Lexed) -> String {
        shorten(self.source.get(token.start..token.end).unwrap_or(""))
    }

    fn problem(&self, message: impl Into<String>) -> Problem {
        Problem::new(self.current.start, message)
    }

    /// A condition should begin here and does not.
    fn no_condition(&self) -> Problem {
        let found = self.text(&self.current);
        match self.current.token {
            Token::End => self.problem("the filter ends where a condition is expected"),
            Token::Keyword(_) => self
                .problem(format!("expected a condition, found `{found}`"))
                .with_hint(format!("a field with this name stands in backticks: `{found}`")),
            Token::Text(_) => self
                .problem(format!("expected a field name, found the text {found}"))
                .with_hint("field names stand without quotes, or in backticks: `odd name`"),
            Token::Integer(_) | Token::Float(_) | Token::Timestamp(_) => self
                .problem(format!("expected a field name, found {found}"))
                .with_hint("the field comes first: `page > 5`"),
            _ => self.problem(format!("expected a condition, found `{found}`")),
        }
    }

    /// A value should stand after `after`.
    fn no_value(&self, after: &Lexed) -> Problem {
        let problem = self.problem(format!("expected a value after `{}`", self.text(after)));
        match &self.current.token {
            Token::Key(word) => problem.with_hint(match word.to_ascii_lowercase().as_str() {
                "none" | "nil" => "write `null`".to_owned(),
                _ => format!("texts stand in quotes: \"{}\"", shorten(word)),
            }),
            Token::Symbol("[") => problem.with_hint("a list follows `in`, `contains any` or `contains all`"),
            Token::Symbol("=" | "==" | "!=" | "<" | "<=" | ">" | ">=") => {
                problem.with_hint("operators: == != < <= > >=")
            }
            _ => problem,
        }
    }

    /// After a key stands something that is no operator and ends no condition.
    fn no_operator(&self, key: &Lexed) -> Problem {
        let found = self.text(&self.current);
        let Token::Key(word) = &self.current.token else {
            return self
                .problem(format!("expected an operator after `{}`, found `{found}`", self.text(key)))
                .with_hint("for example `==`, `>=`, `in`, `contains`, `exists`");
        };
        let hint = match word.to_ascii_lowercase().as_str() {
            "eq" | "equals" => "write `==`",
            "ne" | "neq" => "write `!=`",
            "gt" => "write `>`",
            "gte" | "ge" => "write `>=`",
            "lt" => "write `<`",
            "lte" | "le" => "write `<=`",
            "nin" => "write `not in`",
            "any" | "all" => "write `contains any [..]` or `contains all [..]`",
            "has" | "includes" => "write `contains`",
            "text_match" | "like" => {
                "write `matches \"text\"`; there are no patterns, every character is itself"
            }
            "text_match_insensitive" | "ilike" => {
                "write `imatches \"text\"`; there are no patterns, every character is itself"
            }
            "is_empty" | "empty" => "write `is empty`",
            _ => {
                return self
                    .problem(format!("expected an operator, `and` or `or` before `{found}`"))
                    .with_hint("operators: == != < <= > >= in between contains matches imatches is exists");
            }
        };
        self.problem(format!("unknown operator `{found}`")).with_hint(hint)
    }

    /// Something stands after a complete condition.
    fn not_joined(&self) -> Problem {
        self.problem(format!("expected `and` or `or` before `{}`", self.text(&self.current)))
    }
}

fn refuse_bool(value: &Scalar, start: usize) -> Result<()> {
    if matches!(value, Scalar::Bool(_)) {
        return Err(Problem::new(start, "bools have no order").with_hint("compare them by `==` or `!=`"));
    }
    Ok(())
}
