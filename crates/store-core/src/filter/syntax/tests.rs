//! The syntax for people: what each form means, how it is printed, and how errors look.

use proptest::prelude::*;
use unicode_width::UnicodeWidthStr;

use super::*;
use crate::ErrorKind;
use crate::filter::{MAX_DEPTH, Scalar, Timestamp, arbitrary, field};

#[track_caller]
fn parsed(text: &str) -> Filter {
    Filter::parse(text).unwrap_or_else(|error| panic!("{error}"))
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn not(filter: Filter) -> Filter {
    Filter::Not(Box::new(filter))
}

#[test]
fn every_form_and_its_canonical_print() {
    let (a, b, c) = (|| field("a"), || field("b").eq(true), || field("c").eq(true));
    for (text, filter, printed) in [
        ("a == 1", a().eq(1), "a == 1"),
        ("a=1", a().eq(1), "a == 1"),
        ("a==-1", a().eq(-1), "a == -1"),
        ("a != 1.0", a().ne(1.0), "a != 1.0"),
        ("a < 1e3", a().lt(1000.0), "a < 1000.0"),
        ("a <= -1.5E-3", a().lte(-0.0015), "a <= -0.0015"),
        ("a > 18446744073709551615", a().gt(u64::MAX), "a > 18446744073709551615"),
        ("a >= -9223372036854775808", a().gte(i64::MIN), "a >= -9223372036854775808"),
        ("a == -0.0", a().eq(-0.0), "a == -0.0"),
        ("a == 1e300", a().eq(1e300), "a == 1e300"),
        ("a == 'it\"s'", a().eq("it\"s"), r#"a == "it\"s""#),
        (
            r#"a == "\u00e9\ud83d\ude80\n\/\b\f\r\t\\""#,
            a().eq("é🚀\n/\u{8}\u{c}\r\t\\"),
            r#"a == "é🚀\n/\u0008\u000c\r\t\\""#,
        ),
        ("a == ''", a().eq(""), r#"a == """#),
        ("a == true", a().eq(true), "a"),
        ("a == False", a().eq(false), "a == false"),
        ("a == NULL", a().eq(Scalar::Null), "a == null"),
        ("a is null", a().eq(Scalar::Null), "a == null"),
        ("a IS NOT NULL", a().ne(Scalar::Null), "a != null"),
        ("a > @2024-05-01", a().gt(at("2024-05-01")), "a > @2024-05-01T00:00:00Z"),
        ("a>@2024-05-01T12:00+02:00", a().gt(at("2024-05-01T10:00Z")), "a > @2024-05-01T10:00:00Z"),
        ("a == @'2024-05-01 12:00'", a().eq(at("2024-05-01T12:00Z")), "a == @2024-05-01T12:00:00Z"),
        ("a between 1 and 9 and b", a().between(1, 9).and(b()), "a between 1 and 9 and b"),
        ("a not between 1 and 9", not(a().between(1, 9)), "not (a between 1 and 9)"),
        (
            "a in [1, 'x', null, true]",
            a().one_of([1.into(), "x".into(), Scalar::Null, true.into()]),
            r#"a in [1, "x", null, true]"#,
        ),
        ("a in []", a().one_of([0; 0]), "a in []"),
        ("a not in [1]", a().none_of([1]), "a not in [1]"),
        ("a contains 'x'", a().contains("x"), r#"a contains "x""#),
        ("a contains any ['x']", a().contains_any(["x"]), r#"a contains any ["x"]"#),
        ("a contains ALL []", a().contains_all([0; 0]), "a contains all []"),
        ("a not contains 1", not(a().contains(1)), "not (a contains 1)"),
        ("a matches 'x'", a().text_match("x"), r#"a matches "x""#),
        ("a imatches\"x\"", a().text_match_insensitive("x"), r#"a imatches "x""#),
        ("a not matches 'x'", not(a().text_match("x")), r#"not (a matches "x")"#),
        ("a is empty", a().is_empty(), "a is empty"),
        ("a is not empty", not(a().is_empty()), "not (a is empty)"),
        ("a exists", a().exists(), "a exists"),
        ("a not exists", a().is_missing(), "a not exists"),
        ("not a exists", not(a().exists()), "not (a exists)"),
        ("a", a().eq(true), "a"),
        ("not a", not(a().eq(true)), "not a"),
        ("not not a", not(not(a().eq(true))), "not not a"),
        ("not a and b", not(a().eq(true)).and(b()), "not a and b"),
        ("not (a and b)", not(a().eq(true).and(b())), "not (a and b)"),
        ("a OR b And c", a().eq(true).or(b().and(c())), "a or (b and c)"),
        ("(a or b) and c", a().eq(true).or(b()).and(c()), "(a or b) and c"),
        ("((a))", a().eq(true), "a"),
        ("(a and b) and c", Filter::All(vec![a().eq(true).and(b()), c()]), "(a and b) and c"),
        ("all()", Filter::all([]), "all()"),
        ("any()", Filter::any([]), "any()"),
        ("ALL(a)", Filter::all([a().eq(true)]), "all(a)"),
        (
            "any(a, b and c, not c)",
            Filter::any([a().eq(true), b().and(c()), not(c())]),
            "a or (b and c) or not c",
        ),
        ("not any(a and b)", not(Filter::any([a().eq(true).and(b())])), "not any(a and b)"),
        ("all == 1", field("all").eq(1), "all == 1"),
        ("x.not.in == 1", field("x.not.in").eq(1), "x.not.in == 1"),
        ("`not` == 1", field("not").eq(1), "`not` == 1"),
        ("`odd name`.b.`c\\`d`", field("odd name.b.c`d").eq(true), "`odd name.b.c\\`d`"),
        ("`a.b` == 1", field("a.b").eq(1), "a.b == 1"),
        ("page-no == 1", field("page-no").eq(1), "page-no == 1"),
        ("größe.日本 > 1", field("größe.日本").gt(1), "größe.日本 > 1"),
        ("\n\ta\r\n  ==\u{a0}1\n", a().eq(1), "a == 1"),
        (
            r#"year >= 2024 and (tag in ["a", "b"] or not draft)"#,
            field("year").gte(2024).and(field("tag").one_of(["a", "b"]).or(!field("draft").eq(true))),
            r#"year >= 2024 and (tag in ["a", "b"] or not draft)"#,
        ),
    ] {
        assert_eq!(parsed(text), filter, "{text}");
        assert_eq!(filter.to_string(), printed, "{text}");
        assert_eq!(parsed(printed), filter, "{printed}");
    }
}

/// Checks the whole message; `^` marks the place in the text, which is one line.
#[track_caller]
fn refused(text: &str, message: &str, caret: usize, hint: &str) {
    let error = Filter::parse(text).unwrap_err();
    let hint = if hint.is_empty() { String::new() } else { format!("\n  hint: {hint}") };
    assert_eq!(error.message(), format!("filter: {message}\n  {text}\n  {:caret$}^{hint}", ""));
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

const OPERATORS_HINT: &str = "operators: == != < <= > >= in between contains matches imatches is exists";
const SLIPPED_QUOTE: &str =
    "an odd field name stands in backticks as a whole; a quote within a text is escaped: \\'";
const PATTERN: &str = "there are no patterns, every character is itself";

#[test]
fn a_missing_value_is_shown() {
    refused("year >= and tag", "expected a value after `>=`", 8, "");
    refused("year >=", "expected a value after `>=`", 7, "");
    refused("year >= )", "expected a value after `>=`", 8, "");
    refused("tag == draft", "expected a value after `==`", 7, "texts stand in quotes: \"draft\"");
    refused("tag == None", "expected a value after `==`", 7, "write `null`");
    refused(
        "tag == [1]",
        "expected a value after `==`",
        7,
        "a list follows `in`, `contains any` or `contains all`",
    );
    refused("tag = = 1", "expected a value after `=`", 6, "operators: == != < <= > >=");
    refused("a in [1,]", "expected a value after `,`", 8, "");
    refused("a in [,]", "expected a value after `[`", 6, "");
    refused("a between 1 and", "expected a value after `and`", 15, "");
}

#[test]
fn a_missing_condition_is_shown() {
    refused("a and", "the filter ends where a condition is expected", 5, "");
    refused("not", "the filter ends where a condition is expected", 3, "");
    refused(
        "and a",
        "expected a condition, found `and`",
        0,
        "a field with this name stands in backticks: `and`",
    );
    refused(
        "a and or b",
        "expected a condition, found `or`",
        6,
        "a field with this name stands in backticks: `or`",
    );
    refused("()", "expected a condition, found `)`", 1, "");
    refused("5 < page", "expected a field name, found 5", 0, "the field comes first: `page > 5`");
    refused(
        "'tag' == 1",
        "expected a field name, found the text 'tag'",
        0,
        "field names stand without quotes, or in backticks: `odd name`",
    );
}

#[test]
fn an_unknown_operator_is_shown() {
    refused("a b", "expected an operator, `and` or `or` before `b`", 2, OPERATORS_HINT);
    refused("a like 'x'", "unknown operator `like`", 2, &format!("write `matches \"text\"`; {PATTERN}"));
    refused(
        "a text_match_insensitive 'x'",
        "unknown operator `text_match_insensitive`",
        2,
        &format!("write `imatches \"text\"`; {PATTERN}"),
    );
    refused("a nin [1]", "unknown operator `nin`", 2, "write `not in`");
    refused(
        "a 5",
        "expected an operator after `a`, found `5`",
        2,
        "for example `==`, `>=`, `in`, `contains`, `exists`",
    );
    refused(
        "a not 5",
        "expected an operator after `not`",
        6,
        "in, contains, matches, imatches, between, exists",
    );
    refused("a is 5", "expected `empty` or `null` after `is`", 5, "compare with other values by `==`");
    refused("a == 1 b == 2", "expected `and` or `or` before `b`", 7, "");
    refused("a == 1, b", "expected `and` or `or` before `,`", 6, "");
    refused(
        "f(a)",
        "unknown function `f`",
        0,
        "only `all( , )` and `any( , )` are followed by a parenthesis; lists stand in `[ ]`",
    );
}

#[test]
fn common_slips_get_a_hint() {
    refused("a & b", "unexpected `&`", 2, "write `and`");
    refused("a && b", "unexpected `&&`", 2, "write `and`");
    refused("a || b", "unexpected `||`", 2, "write `or`");
    refused("!a", "unexpected `!`", 0, "write `not`");
    refused("a => 1", "unexpected `=>`", 2, "write `>=`");
    refused("a =< 1", "unexpected `=<`", 2, "write `<=`");
    refused("a <> 1", "unexpected `<>`", 2, "write `!=`");
    refused("a === 1", "unexpected `===`", 2, "write `==`");
    refused("tag:x", "unexpected `:`", 3, "write `==`");
    refused("a =~ 'x'", "unexpected `=~`", 2, "write `matches \"text\"` for a text that holds it");
    refused("a == “x”", "unexpected `“`", 5, "texts stand in straight quotes: \"text\" or 'text'");
    refused(
        "$a == 1",
        "unexpected `$`",
        0,
        "a field name with such a character stands in backticks, a text in quotes",
    );
    refused("a in (1, 2)", "expected a list after `in`", 5, "lists stand in `[ ]`: [\"a\", \"b\"]");
    refused("a in 'x'", "expected a list after `in`", 5, "lists stand in `[ ]`: [\"a\", \"b\"]");
    refused("a contains any", "expected a list after `any`", 14, "");
    refused(
        "a contains [1]",
        "expected `any`, `all` or a single value after `contains`",
        11,
        "`contains any [..]` for at least one of them, `contains all [..]` for each",
    );
    refused(
        "a between 1, 2",
        "expected `and` between the two values",
        11,
        "`key between 1 and 9`, both included",
    );
    refused("a matches 1", "expected a text after `matches`", 10, "texts stand in quotes");
    refused("a > true", "bools have no order", 4, "compare them by `==` or `!=`");
    refused("a between false and 1", "bools have no order", 10, "compare them by `==` or `!=`");
}

#[test]
fn unclosed_things_point_at_their_start() {
    refused("a == 'x", "this text has no closing quote", 5, "");
    refused("a == \"x' and b", "this text has no closing quote", 5, "");
    refused("`a == 1", "this field name has no closing backtick", 0, "");
    refused("(a or (b", "this `(` is never closed", 6, "");
    refused("b and all(a", "this `(` is never closed", 9, "");
    refused("a in [1, 2", "this `[` is never closed", 5, "");
    refused("a in [1 2]", "expected `,` or `]` in the list", 8, "");
    refused("a in [1)", "expected `,` or `]` in the list", 7, "");
    refused(
        "(a]",
        "expected an operator after `a`, found `]`",
        2,
        "for example `==`, `>=`, `in`, `contains`, `exists`",
    );
    refused("(a == 1]", "expected `)`, found `]`", 7, "");
    refused("a)", "this `)` closes nothing", 1, "");
}

#[test]
fn bad_values_and_names_are_shown() {
    let numbers = "numbers look like 12, -3, 0.5 or 1e6; texts stand in quotes";
    for text in ["007", "1_000", ".5", "1.", "1.e5", "1e", "--1", "1a", "0x10", "-", "5..6", "1.2.3"] {
        refused(&format!("a == {text}"), &format!("`{text}` is not a number"), 5, numbers);
    }
    refused(
        "a > 2024-05-01",
        "`2024-05-01` is not a number",
        4,
        "write @2024-05-01 for a timestamp, \"2024-05-01\" for a text",
    );
    refused(
        "a == 18446744073709551616",
        "the integer 18446744073709551616 is outside 64 bits",
        5,
        "write it as a float (with `.0`), or in quotes if it is a text",
    );
    refused("a == 1e999", "the number 1e999 is too large for a float", 5, "");
    let timestamp = "write @2024-05-01 or @2024-05-01T12:00:00Z (or an offset like +02:00)";
    refused("a > @2024-13-01", "expected a timestamp after `@`", 4, timestamp);
    refused("a > @", "expected a timestamp after `@`", 4, timestamp);
    refused("a > @'now'", "expected a timestamp after `@`", 4, timestamp);
    refused(r"a == '\d'", "unknown escape", 6, r"write a backslash itself as `\\`");
    for text in [r"'\u12'", r"'\ud800'", r"'\ud83dx'", r"'\ud83d\u0041'", r"'\udc00'"] {
        let message = "expected four hexadecimal digits of a character after `\\u`";
        refused(&format!("a == {text}"), message, 6, r"a character beyond U+FFFF is a pair: \ud83d\ude80");
    }
    refused(
        "a. == 1",
        "expected the next part of the field name after `.`",
        2,
        "a part that does not start with a letter stands in backticks: a.`1st`",
    );
    refused(
        "a..b",
        "expected the next part of the field name after `.`",
        2,
        "a part that does not start with a letter stands in backticks: a.`1st`",
    );
    refused("a.``", "a field name has an empty part", 2, "parts of a path are joined by single dots");
    refused("`a..b`", "a field name has an empty part", 0, "parts of a path are joined by single dots");
    refused("t\"x\" == 1", "unexpected `\"` in a field name", 1, SLIPPED_QUOTE);
}

#[test]
fn the_caret_stands_right_under_wide_characters() {
    for (before, width) in [("größe", 5), ("日本語", 6), ("e\u{301}x", 2), ("ﾊﾝ", 2)] {
        let text = format!("`{before}` >= ");
        let error = Filter::parse(&text).unwrap_err();
        let caret = error.message().lines().last().unwrap().find('^').unwrap();
        assert_eq!(caret, 2 + width + 6, "{}", error.message());
    }
}

#[test]
fn only_the_line_and_its_surroundings_are_shown() {
    let error = Filter::parse("a == 1 and\n  b >= and\n  c").unwrap_err();
    assert_eq!(error.message(), "filter: expected a value after `>=`\n    b >= and\n         ^");
    let long = format!("{} and b >= and {}", vec!["a"; 1000].join(" and "), "c".repeat(1000));
    let error = Filter::parse(&long).unwrap_err();
    let lines = error.message().lines().collect::<Vec<_>>();
    assert!(lines.iter().all(|line| line.width() < 110), "{}", error.message());
    assert_eq!(lines[1].find("and cc").map(|byte| lines[1][..byte].width()), lines[2].find('^'));
    // Neither a colour nor a carriage return reaches the terminal.
    let error = Filter::parse("a == '\u{1b}[31m\t\r' 'x\u{7}").unwrap_err();
    assert!(!error.message().contains(|c: char| c.is_control() && c != '\n'), "{:?}", error.message());
}

#[test]
fn an_empty_filter_is_refused() {
    for text in ["", " ", "\n"] {
        let error = Filter::parse(text).unwrap_err();
        assert!(error.message().starts_with("filter: the filter is empty\n"), "{error}");
        assert!(error.message().ends_with("hint: `all()` matches everything"), "{error}");
    }
}

#[test]
fn deep_nesting_is_refused() {
    for open in ["(", "not ", "all(", "not ("] {
        let error = Filter::parse(&open.repeat(10_000)).unwrap_err();
        assert!(error.message().contains("nests more than 64 deep"), "{error}");
        let error = Filter::parse(&format!("a or {}", open.repeat(10_000))).unwrap_err();
        assert!(error.message().contains("nests more than 64 deep"), "{error}");
    }
    assert!(Filter::parse(&format!("{}a{}", "not (".repeat(65), ")".repeat(65))).is_err());
}

#[test]
fn what_is_deep_but_valid_is_printed_and_read() {
    let wraps: [fn(Filter) -> Filter; 4] = [
        |inner| Filter::Not(Box::new(inner)),
        |inner| Filter::All(vec![inner]),
        |inner| Filter::Any(vec![inner, field("b").eq(true)]),
        |inner| match inner {
            Filter::Not(_) => Filter::All(vec![inner, field("b").gt(1)]),
            inner => Filter::Not(Box::new(inner)),
        },
    ];
    for wrap in wraps {
        let filter = (1..MAX_DEPTH).fold(field("a").gt(1), |filter, _| wrap(filter));
        assert_eq!(parsed(&filter.to_string()), filter);
    }
}

#[test]
fn help_fits_a_terminal_and_its_example_parses() {
    assert!(SYNTAX_HELP.lines().all(|line| line.width() <= 80));
    parsed(SYNTAX_HELP.lines().nth(1).unwrap());
    for keyword in KEYWORDS {
        assert!(SYNTAX_HELP.contains(keyword), "{keyword}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn any_text_is_a_filter_or_refused(text in any::<String>()) {
        if let Err(error) = Filter::parse(&text) {
            prop_assert_eq!(error.kind(), ErrorKind::InvalidInput);
        }
    }

    #[test]
    fn any_tokens_are_a_filter_or_refused(
        tokens in proptest::collection::vec(proptest::sample::select(vec![
            "a", "b.c", "`x y`", "and", "or", "not", "in", "between", "contains", "any", "all", "matches", "imatches",
            "is", "empty", "exists", "null", "true", "1", "-1.5", "'t'", "\"", "'", "`", "@2024-05-01", "@", "(", ")",
            "[", "]", ",", "==", "!=", "<", ">=", "&", "é", "日", "\u{301}", "\u{0}", "\\", ".", "..", "-",
        ]), 0..12),
        glue in proptest::sample::select(vec!["", " ", "\n"]),
    ) {
        let text = tokens.join(glue);
        match Filter::parse(&text) {
            Ok(filter) => prop_assert_eq!(parsed(&filter.to_string()), filter),
            Err(error) => prop_assert!(error.message().starts_with("filter: ")),
        }
    }

    #[test]
    fn a_damaged_filter_is_a_filter_or_refused(filter in arbitrary::filter(), at in any::<prop::sample::Index>(), with in ".{0,2}") {
        let mut text = filter.to_string().chars().collect::<Vec<_>>();
        let at = at.index(text.len());
        text.splice(at..=at, with.chars());
        let text = text.into_iter().collect::<String>();
        if let Ok(filter) = Filter::parse(&text) {
            prop_assert_eq!(parsed(&filter.to_string()), filter);
        }
    }
}
