//! Nodes and other items in arguments and answers.

use nodestore::{AddMode, AddReport, Error, JsonObject, Node, Result};
use serde_json::{Value, json};

use crate::args::{Arg, Args, may, must};

pub(crate) const NODES: Arg = must("nodes", r#"a list of nodes {"__data__":{...},"__type__":"1"}"#);
pub(crate) const MODE: Arg = may("mode", "\"overwrite\" (default), \"skip\" or \"fail\"");

/// The nodes of the argument `nodes`.
pub(crate) fn nodes(args: &mut Args) -> Result<Vec<Node>> {
    read_all("nodes", args.must("nodes")?, Node::from_json)
}

/// The mode of an add.
pub(crate) fn mode(args: &mut Args) -> Result<AddMode> {
    let words = [("overwrite", AddMode::Overwrite), ("skip", AddMode::Skip), ("fail", AddMode::Fail)];
    Ok(args.choice("mode", &words)?.unwrap_or_default())
}

/// What an add did.
pub(crate) fn report(report: AddReport) -> Value {
    json!({"written": report.written, "skipped": report.skipped})
}

/// Reads every item of the list `name`.
///
/// # Errors
/// The first refusal, with its place; `failed` has the keys of all items refused, as far as they are known.
pub(crate) fn read_all<T>(
    name: &str,
    items: Vec<JsonObject>,
    read: impl Fn(JsonObject) -> Result<T>,
) -> Result<Vec<T>> {
    let mut good = Vec::with_capacity(items.len());
    let (mut first, mut failed) = (None, Vec::new());
    for (place, item) in items.into_iter().enumerate() {
        match read(item) {
            Ok(item) => good.push(item),
            Err(error) => {
                failed.extend(error.key().map(str::to_owned));
                first.get_or_insert_with(|| format!("{name}[{place}]: {}", error.message()));
            }
        }
    }
    match first {
        None => Ok(good),
        Some(why) => Err(Error::invalid_input(why).with_failed(failed)),
    }
}

/// A node's JSON, or null.
pub(crate) fn or_null(node: Option<Node>) -> Value {
    node.map_or(Value::Null, |node| Value::Object(node.to_json()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bad_node_is_named() {
        let node = |kind: &str, id: &str| {
            let node = json!({"__type__": kind, "__data__": {"id_": id, "metadata": if id == "b" { json!(1) } else { json!({}) }}});
            node.as_object().cloned().unwrap()
        };
        let error = read_all("nodes", vec![node("1", "a"), node("1", "b"), node("9", "c")], Node::from_json)
            .unwrap_err();
        assert!(error.message().starts_with("nodes[1]: "), "{error}");
        assert_eq!(error.failed(), ["b"]);
    }
}
