//! What `bridge --help` says, from the table of operations.

use std::fmt::Write as _;

use crate::args::Arg;
use crate::ops::SECTIONS;

const INTRODUCTION: &str = r#"bridge - drive any store of nodestore over JSON lines

Reads requests from stdin, one JSON object on a line, and writes an answer for
each on stdout, one on a line. For development only.

  {"id":1,"op":"open","args":{"url":"memory:","namespace":"demo"}}
  {"id":1,"ok":{"store":1}}
  {"id":2,"store":1,"op":"kv.put_many","args":{"collection":"c","entries":[["k",{"n":1}]]}}
  {"id":2,"ok":null}
  {"id":3,"store":1,"op":"kv.get_many","args":{"collection":"c","keys":["k","x"]}}
  {"id":3,"ok":[{"n":1},null]}
  {"id":4,"store":9,"op":"kv.scan","args":{"collection":"c"}}
  {"id":4,"error":{"kind":"invalid_input","message":"...","backend":"bridge",
   "operation":"kv.scan","retryable":false,"failed":[]}}

Requests run at the same time and answers come in any order: wait for an answer
before you send what depends on it. The end of stdin ends the program, after
all answers. Pages: give "next" back as "after"; null means nothing is left.
Nulls are the same as absent arguments. Events go to stderr: NODESTORE_LOG=debug.

URLs: memory:  embedded:///path  mongodb://host  redis://host
      dynamodb://region/table?store.create=true
      cassandra://host/keyspace?store.create=true

Kinds of errors: not_found already_exists conflict invalid_input config
unsupported unauthorized unavailable timeout throttled limit_exceeded corrupt
other. "failed" has the keys at fault, or those of a batch not written.

Operations; arguments in [] may be left out:
"#;

/// The text of `--help`.
pub(crate) fn text() -> String {
    let mut text = INTRODUCTION.to_owned();
    for section in SECTIONS {
        // Writing to a text can not fail.
        let _ = writeln!(text, "\n{}", section.title.to_uppercase());
        for op in section.ops {
            let args: Vec<String> = op.args.iter().map(usage).collect();
            let _ = writeln!(
                text,
                "\n  {}{{{}}}\n      -> {}\n      {}",
                op.name,
                args.join(","),
                op.answer,
                op.about
            );
            for arg in op.args {
                let _ = writeln!(text, "        {}: {}", arg.name, arg.what);
            }
        }
    }
    text
}

fn usage(arg: &Arg) -> String {
    if arg.required { arg.name.to_owned() } else { format!("[{}]", arg.name) }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_operation_is_explained() {
        let text = super::text();
        for op in crate::ops::SECTIONS.iter().flat_map(|section| section.ops) {
            assert!(text.contains(&format!("\n  {}{{", op.name)), "{}", op.name);
            assert!(!op.about.is_empty() && !op.answer.is_empty(), "{}", op.name);
        }
    }
}
