//! `chat`.

use std::io::Write;
use std::process::Stdio;

use serde_json::json;

use crate::{Home, Run};

/// Runs it on the store `kb` with this standard input.
fn fed(home: &Home, arguments: &[&str], input: &str) -> Run {
    let mut command = home.command(arguments);
    command.env("NODESTORE_URL", "kb").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    Run {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

fn with_chat() -> Home {
    let home = Home::new();
    home.run(&["chat", "append", "anna", "When", "is the train?"])
        .ok()
        .shows(&["1 message added to \"anna\""]);
    home.run(&["chat", "append", "anna", "--role", "assistant", "At ten."]).ok();
    home
}

#[test]
fn what_is_appended_is_shown() {
    let home = with_chat();
    let run = home.run(&["chat", "show", "anna"]).ok();
    assert_eq!(run.out, "user\nWhen is the train?\n\nassistant\nAt ten.\n");
    assert_eq!(home.run(&["chat", "show", "anna", "--last", "1"]).ok().out, "assistant\nAt ten.\n");
    assert_eq!(
        home.json(&["chat", "show", "anna"])[1],
        json!({"role": "assistant", "additional_kwargs": {}, "blocks": [{"block_type": "text", "text": "At ten."}]})
    );
    home.run(&["chat", "sessions"]).ok().shows(&["anna", "2", "At ten."]);
    assert_eq!(home.json(&["chat", "sessions"])["items"], json!([{"key": "anna", "messages": 2}]));
}

#[test]
fn sessions_are_paged() {
    let home = Home::new();
    for session in ["a", "b", "c"] {
        home.run(&["chat", "append", session, "x"]).ok();
    }
    let first = home.json(&["chat", "sessions", "--limit", "2"]);
    assert_eq!(first["items"].as_array().unwrap().len(), 2);
    let rest = home.json(&["chat", "sessions", "--after", first["next"].as_str().unwrap()]);
    assert_eq!(rest["items"].as_array().unwrap().len(), 1);
}

#[test]
fn standard_input_is_a_message_or_one_on_each_line() {
    let home = Home::new();
    fed(&home, &["chat", "append", "s", "-"], "two\nlines\n").ok();
    let line = r#"{"role": "tool", "content": "ten", "additional_kwargs": {"tool_call_id": "1"}}"#;
    let report =
        fed(&home, &["chat", "append", "s", "--jsonl", "--json"], &format!("{line}\n\n{line}\n")).ok();
    assert_eq!(serde_json::from_str::<serde_json::Value>(&report.out).unwrap()["appended"], 2);
    assert_eq!(home.run(&["chat", "show", "s"]).ok().out, "user\ntwo\nlines\n\ntool\nten\n\ntool\nten\n");
    // Out and in again it is the same.
    let lines = home.run(&["chat", "export", "s", "--format", "jsonl"]).ok().out;
    assert_eq!(lines.lines().count(), 3);
    fed(&home, &["chat", "append", "copy", "--jsonl"], &lines).ok();
    assert_eq!(home.json(&["chat", "show", "s"]), home.json(&["chat", "show", "copy"]));
}

#[test]
fn bad_messages_are_refused_before_anything_is_written() {
    let home = Home::new();
    let lines = "{\"role\": \"user\", \"content\": \"x\"}\n{\"role\": \"user\" 1}\n";
    fed(&home, &["chat", "append", "s", "--jsonl"], lines).exits(1).says(&[
        "error: standard input, line 2: column 17: expected",
        "help: each line is one message",
        "nothing was added",
    ]);
    fed(&home, &["chat", "append", "s", "--jsonl"], "").exits(1).says(&["standard input holds no message"]);
    fed(&home, &["chat", "append", "s", "-"], " \n").exits(2).says(&["the message is empty"]);
    home.run(&["chat", "append", "s"]).exits(2).says(&["<TEXT>"]);
    home.run(&["chat", "append", "", "x"]).exits(2).says(&["the session's name is empty"]);
    home.run(&["chat", "append", "s", "x", "--role", "king"]).exits(2).says(&[
        "'king'",
        "assistant",
        "developer",
    ]);
    home.run(&["chat", "append", "s", "x", "--jsonl"]).exits(2);
    assert!(!home.path().join("kb").exists(), "a refused message makes no store");
}

#[test]
fn a_window_holds_what_fits() {
    let home = with_chat();
    let window = |limit: &[&str]| home.json(&[&["chat", "window", "anna"], limit].concat());
    assert_eq!(window(&["--messages", "1"])["messages"].as_array().unwrap().len(), 1);
    // `assistant` and `At ten.` are 16 characters, `user` and `When is the train?` are 22.
    assert_eq!(window(&["--tokens", "9"])["tokens"], 4);
    assert_eq!(window(&["--tokens", "10"])["tokens"], 10);
    assert_eq!(window(&["--tokens", "1", "--newest-whole"])["tokens"], 4);
    home.run(&["chat", "window", "anna", "--tokens", "10"]).ok().says(&["2 messages, about 10 tokens"]);
    home.run(&["chat", "window", "anna", "--tokens", "1"])
        .exits(4)
        .says(&["no message fits", "--newest-whole"]);
    home.run(&["chat", "window", "anna"]).exits(2).says(&["--tokens <NUMBER>"]);
}

#[test]
fn exports_are_for_programs_and_for_people() {
    let home = with_chat();
    let json: serde_json::Value =
        serde_json::from_str(&home.run(&["chat", "export", "anna"]).ok().out).unwrap();
    assert_eq!(json, home.json(&["chat", "show", "anna"]));
    assert_eq!(
        home.run(&["chat", "export", "anna", "--format", "markdown"]).ok().out,
        "# anna\n\n## user\n\nWhen is the train?\n\n## assistant\n\nAt ten.\n"
    );
}

#[test]
fn a_chat_can_not_control_the_terminal() {
    let home = Home::new();
    home.run(&["chat", "append", "\u{1b}[31ms", "a\u{1b}[2J\u{9b}31mb"]).ok();
    let commands: [&[&str]; 6] = [
        &["chat", "sessions"],
        &["chat", "sessions", "--json"],
        &["chat", "show", "\u{1b}[31ms"],
        &["chat", "show", "\u{1b}[31ms", "--json"],
        &["chat", "export", "\u{1b}[31ms", "--format", "markdown"],
        &["chat", "export", "\u{1b}[31ms", "--format", "jsonl"],
    ];
    for command in commands {
        let run = home.run(command).ok();
        assert!(!run.out.contains(['\u{1b}', '\u{9b}']), "{run:?}");
        assert!(!run.err.contains(['\u{1b}', '\u{9b}']), "{run:?}");
    }
    assert_eq!(home.json(&["chat", "show", "\u{1b}[31ms"])[0]["blocks"][0]["text"], "a\u{1b}[2J\u{9b}31mb");
}

#[test]
fn sessions_are_deleted_when_that_is_wanted() {
    let home = with_chat();
    home.run(&["chat", "delete", "anna"]).exits(2).says(&["nobody can be asked", "--yes"]);
    home.run(&["chat", "delete", "anna", "nope", "--yes"])
        .exits(4)
        .shows(&["deleted 1 chat with 2 messages"])
        .says(&["there is no chat \"nope\""]);
    home.run(&["chat", "sessions"]).ok().shows(&["no chats in"]);
}

#[test]
fn an_unknown_session_is_told() {
    let home = with_chat();
    let commands: [&[&str]; 4] = [
        &["chat", "show", "ben"],
        &["chat", "window", "ben", "--tokens", "9"],
        &["chat", "export", "ben"],
        &["chat", "delete", "ben", "--yes"],
    ];
    for command in commands {
        home.run(command).exits(4).says(&["there is no chat \"ben\"", "`nodestore chat sessions`"]);
    }
}
