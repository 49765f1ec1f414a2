//! `str.format` for the templates of nodes.

use crate::{Error, Result};

/// Fills `template` once, as `template.format(**fields)`: `{name}` is replaced, `{{` and `}}` are braces.
///
/// # Errors
/// `InvalidInput` for a placeholder that `fields` does not have, one with a conversion or a format (which
/// LlamaIndex's templates never need) and for braces without a partner.
pub(crate) fn fill_template(template: &str, fields: &[(&str, &str)]) -> Result<String> {
    let bad = |reason: String| {
        Err(Error::invalid_input(format!("the template {template:?} {reason}; it may use {}", names(fields))))
    };
    let mut out = String::with_capacity(template.len() + fields.iter().map(|(_, v)| v.len()).sum::<usize>());
    let mut rest = template;
    while let Some((text, after)) = rest.find(['{', '}']).and_then(|at| rest.split_at_checked(at)) {
        out.push_str(text);
        if let Some(tail) = after.strip_prefix("{{") {
            out.push('{');
            rest = tail;
        } else if let Some(tail) = after.strip_prefix("}}") {
            out.push('}');
            rest = tail;
        } else if let Some(tail) = after.strip_prefix('{') {
            let Some((name, tail)) = tail.split_once('}') else {
                return bad("has a { without a }".to_owned());
            };
            match fields.iter().find(|(field, _)| *field == name) {
                Some((_, value)) => out.push_str(value),
                None => return bad(format!("has the unknown placeholder {{{name}}}")),
            }
            rest = tail;
        } else {
            return bad("has a } without a {".to_owned());
        }
    }
    out.push_str(rest);
    Ok(out)
}

fn names(fields: &[(&str, &str)]) -> String {
    let mut out = String::new();
    for (name, _) in fields {
        out.push_str(if out.is_empty() { "{" } else { " and {" });
        out.push_str(name);
        out.push('}');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: [(&str, &str); 2] = [("key", "k"), ("value", "{key}")];

    #[test]
    fn fills_once_and_keeps_double_braces() {
        assert_eq!(fill_template("{{{key}}}={value}{{}}", &FIELDS).unwrap(), "{k}={key}{}");
        assert_eq!(fill_template("", &FIELDS).unwrap(), "");
    }

    #[test]
    fn names_what_is_wrong() {
        for (template, part) in [
            ("{nope}", "the unknown placeholder {nope}"),
            ("{}", "the unknown placeholder {}"),
            ("{key!r}", "the unknown placeholder {key!r}"),
            ("{key", "a { without a }"),
            ("key}", "a } without a {"),
        ] {
            let error = fill_template(template, &FIELDS).unwrap_err();
            assert!(error.message().contains(part), "{template}: {error}");
            assert!(error.message().contains("it may use {key} and {value}"), "{error}");
        }
    }
}
