//! `chat append`: new messages at the end of a session.

use std::io::{IsTerminal, Read, stdin};

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use nodestore::{ChatMessage, ContentBlock, MessageRole};
use serde_json::json;

use super::named;
use crate::cli::Global;
use crate::failure::{Failure, Outcome};
use crate::output::{count, print, print_json};
use crate::store::{Access, with_store};

/// Add a message at the end of a session, or several from standard input
///
/// A session that is not there begins with it. Several messages are added all at once or, when one of them can not be
/// read, not at all.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  nodestore chat append anna \"When is the next train?\"
  nodestore chat append anna --role assistant \"At ten.\"
  nodestore chat append anna - < question.txt
  nodestore chat append ben --jsonl < anna.jsonl

A line of --jsonl looks like {\"role\": \"user\", \"content\": \"Hello\"}, or as chat export writes
it with --format jsonl.")]
pub(crate) struct Append {
    /// The session
    #[arg(value_name = "SESSION")]
    pub(crate) session: String,
    /// What is said; several words need no quotes, - reads it from standard input
    #[arg(value_name = "TEXT", required_unless_present = "jsonl", conflicts_with = "jsonl")]
    pub(crate) text: Vec<String>,
    /// Who says it
    #[arg(long, value_name = "ROLE", default_value = "user", conflicts_with = "jsonl", value_parser = role_parser())]
    pub(crate) role: MessageRole,
    /// Reads messages from standard input, one in LlamaIndex's JSON on each line
    #[arg(long)]
    pub(crate) jsonl: bool,
    /// Prints a report as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// More of standard input is refused: the messages are added all at once, from memory.
const MOST_BYTES: u64 = 256 << 20;

const ROLES: [MessageRole; 8] = [
    MessageRole::User,
    MessageRole::Assistant,
    MessageRole::System,
    MessageRole::Developer,
    MessageRole::Tool,
    MessageRole::Function,
    MessageRole::Chatbot,
    MessageRole::Model,
];

fn role_parser() -> impl TypedValueParser<Value = MessageRole> {
    PossibleValuesParser::new(ROLES.map(MessageRole::as_str))
        .map(|name| ROLES.into_iter().find(|role| role.as_str() == name).unwrap_or_default())
}

pub(super) async fn run(options: &Append, global: &Global) -> Result<Outcome, Failure> {
    named(&options.session)?;
    // Read before the store is opened: it is made when it is not there.
    let messages = if options.jsonl { parse(&standard_input()?)? } else { vec![said(options)?] };
    with_store(global, Access::Create, async |store| {
        let (session, number) = (&options.session, messages.len());
        store.backend.chat()?.append(session, messages).await?;
        if options.json {
            print_json(&json!({"session": session, "appended": number}))?;
        } else {
            let session = crate::output::one_line(session, 200);
            print(format_args!("{} added to {session:?} in {}", count(number, "message"), store.shown))?;
        }
        Ok(Outcome::Done)
    })
    .await
}

fn said(options: &Append) -> Result<ChatMessage, Failure> {
    let text = if options.text == ["-"] {
        let mut text = standard_input()?;
        // The end of the last line is the file's, not the message's.
        text.truncate(text.trim_end_matches(['\r', '\n']).len());
        text
    } else {
        options.text.join(" ")
    };
    if text.trim().is_empty() {
        return Err(
            Failure::usage("the message is empty").with_help("nodestore chat append SESSION \"Hello\"")
        );
    }
    Ok(ChatMessage::new(options.role, vec![ContentBlock::text(text)]))
}

fn standard_input() -> Result<String, Failure> {
    if stdin().is_terminal() {
        crate::output::say("reading standard input; Ctrl-D ends it");
    }
    let mut text = String::new();
    stdin().lock().take(MOST_BYTES + 1).read_to_string(&mut text).map_err(|error| {
        Failure::new("standard input can not be read: it must be text in UTF-8").with_cause(error)
    })?;
    if text.len() as u64 > MOST_BYTES {
        return Err(Failure::new(format!("standard input is longer than {} MiB", MOST_BYTES >> 20))
            .with_help("nothing was added; add the messages in several parts"));
    }
    Ok(text)
}

/// Reads one message from each line; empty lines are passed over.
fn parse(text: &str) -> Result<Vec<ChatMessage>, Failure> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let messages: Vec<ChatMessage> =
        lines.map(|(place, line)| parse_line(place + 1, line)).collect::<Result<_, _>>()?;
    if messages.is_empty() {
        return Err(Failure::new("standard input holds no message").with_help(FORM));
    }
    Ok(messages)
}

const FORM: &str =
    "each line is one message: {\"role\": \"user\", \"content\": \"Hello\"}; nothing was added";

fn parse_line(line: usize, text: &str) -> Result<ChatMessage, Failure> {
    let refused = |why: String| Failure::new(format!("standard input, line {line}: {why}")).with_help(FORM);
    let json = serde_json::from_str(text).map_err(|error| {
        let column = error.column();
        // The position within the line is told here; the line that the parser counts is always the first.
        let why = error.to_string();
        let why = why.split(" at line ").next().unwrap_or_default();
        refused(format!("column {column}: {why}"))
    })?;
    ChatMessage::from_json(json).map_err(|error| refused(error.message().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_line_is_named_with_its_place() {
        let message = |text: &str| parse(text).unwrap_err().message().to_owned();
        let good = "{\"role\": \"user\", \"content\": \"Hello\"}\n\n";
        assert!(
            message(&format!("{good}{{\"role\" 1}}"))
                .starts_with("standard input, line 3: column 9: expected `:`")
        );
        assert!(
            message("{\"role\": \"king\"}")
                .contains("line 1: role of the chat message: unknown variant `king`")
        );
        assert!(message("[1]").starts_with("standard input, line 1: column"), "{}", message("[1]"));
        assert_eq!(message("\n"), "standard input holds no message");
        assert_eq!(parse(good).unwrap(), [ChatMessage::user("Hello")]);
    }
}
