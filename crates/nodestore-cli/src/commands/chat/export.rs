//! `chat export`: a session as a file.

use clap::{Args, ValueEnum};
use nodestore::ChatMessage;
use serde_json::Value;

use super::{message, read, to_json, unknown};
use crate::failure::{Failure, Outcome};
use crate::output::{json_line, one_line, print, print_json, printable};
use crate::store::Store;

/// Write a session to standard output
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  nodestore chat export anna > anna.json
  nodestore chat export anna --format jsonl | nodestore chat append copy --jsonl
  nodestore chat export anna --format markdown > anna.md")]
pub(crate) struct Export {
    /// The session
    #[arg(value_name = "SESSION")]
    pub(crate) session: String,
    /// In which form
    #[arg(long, value_enum, default_value_t = Format::Json)]
    pub(crate) format: Format,
}

/// The form of an exported session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A list of messages in LlamaIndex's JSON
    Json,
    /// The same, a message on each line
    Jsonl,
    /// A document to read; what is no text is named only
    Markdown,
}

pub(super) async fn run(options: &Export, store: &Store) -> Result<Outcome, Failure> {
    let messages = read(store, &options.session, None).await?;
    if messages.is_empty() {
        return Ok(unknown(store, &options.session));
    }
    match options.format {
        Format::Json => print_json(&to_json(&messages))?,
        Format::Jsonl => {
            for message in &messages {
                print(json_line(&Value::Object(message.to_json())))?;
            }
        }
        Format::Markdown => markdown(&options.session, &messages)?,
    }
    Ok(Outcome::Done)
}

fn markdown(session: &str, messages: &[ChatMessage]) -> Result<(), Failure> {
    print(format_args!("# {}", one_line(session, 200)))?;
    for message in messages {
        let text = message::text(message);
        print(format_args!("\n## {}\n\n{}", message.role, printable(text.trim_end())))?;
    }
    Ok(())
}
