//! `chat`: histories of messages.

mod append;
mod export;
mod message;
mod window;

use clap::{Args, Subcommand};
use nodestore::{ChatMessage, ChatStore};
use serde_json::{Value, json};

use self::append::Append;
use self::export::Export;
use self::window::Window;
use super::list::{ChatsPage, list_chats};
use super::{can_delete, confirmed};
use crate::cli::Global;
use crate::failure::{Failure, Outcome};
use crate::output::{count, one_line, print, print_json, say};
use crate::store::{Access, Store, with_store};

/// Read and write chat histories
///
/// A chat is a list of messages under a name, its session. Messages have the form of LlamaIndex's chat stores, so that
/// a chat that a Python program wrote can be read here, and the other way round.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  nodestore chat append anna \"When is the next train?\"
  nodestore chat append anna --role assistant \"At ten.\"
  nodestore chat sessions
  nodestore chat show anna --last 10
  nodestore chat window anna --tokens 2000   what a model would be given
  nodestore chat export anna --format markdown > anna.md

The exit code is 4 when there is no such session.")]
pub(crate) struct Chat {
    #[command(subcommand)]
    pub(crate) command: ChatCommand,
}

/// What is done with chats.
#[derive(Debug, Subcommand)]
pub(crate) enum ChatCommand {
    Sessions(Sessions),
    Show(Show),
    Append(Append),
    Window(Window),
    Delete(Delete),
    Export(Export),
}

/// List the sessions, with their number of messages and the last one
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  nodestore chat sessions
  nodestore chat sessions --limit 10 --after anna

A page ends with the option that shows the next one.")]
pub(crate) struct Sessions {
    #[command(flatten)]
    pub(crate) page: ChatsPage,
}

/// Show the messages of a session, oldest first
///
/// What is no text is named in brackets: [image picture.png], [tool call search {"for": "trains"}].
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  nodestore chat show anna
  nodestore chat show anna --last 10
  nodestore chat show anna --json            the messages in LlamaIndex's JSON")]
pub(crate) struct Show {
    /// The session
    #[arg(value_name = "SESSION")]
    pub(crate) session: String,
    /// Only the newest so many messages
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) last: Option<u32>,
    /// Prints a JSON list of messages, in LlamaIndex's form
    #[arg(long)]
    pub(crate) json: bool,
}

/// Delete sessions with all their messages
///
/// Asks before it deletes; without a terminal it wants --yes.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  nodestore chat delete anna
  nodestore chat delete anna ben --yes")]
pub(crate) struct Delete {
    /// The sessions
    #[arg(required = true, value_name = "SESSION")]
    pub(crate) sessions: Vec<String>,
    /// Does not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Prints a report as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

pub(crate) async fn run(options: &Chat, global: &Global) -> Result<Outcome, Failure> {
    match &options.command {
        ChatCommand::Sessions(options) => {
            with_store(global, Access::Existing, async |store| list_chats(&options.page, store).await).await
        }
        ChatCommand::Show(options) => {
            with_store(global, Access::Existing, async |store| show(options, store).await).await
        }
        ChatCommand::Append(options) => append::run(options, global).await,
        ChatCommand::Window(options) => window::run(options, global).await,
        ChatCommand::Delete(options) => {
            can_delete(options.yes)?;
            with_store(global, Access::Existing, async |store| delete(options, store).await).await
        }
        ChatCommand::Export(options) => {
            with_store(global, Access::Existing, async |store| export::run(options, store).await).await
        }
    }
}

async fn show(options: &Show, store: &Store) -> Result<Outcome, Failure> {
    let messages = read(store, &options.session, options.last).await?;
    if messages.is_empty() {
        return Ok(unknown(store, &options.session));
    }
    if options.json {
        print_json(&to_json(&messages))?;
    } else {
        message::show(&messages)?;
    }
    Ok(Outcome::Done)
}

async fn delete(options: &Delete, store: &Store) -> Result<Outcome, Failure> {
    let chats = store.backend.chat()?;
    let (mut there, mut missing, mut messages) = (Vec::new(), Vec::new(), 0);
    for session in &options.sessions {
        match chats.messages(named(session)?, None).await?.len() {
            0 => missing.push(session),
            number if !there.contains(&session) => {
                there.push(session);
                messages += number;
            }
            _ => {}
        }
    }
    for session in &missing {
        unknown(store, session);
    }
    if !there.is_empty() && !options.yes {
        let (chats, messages) = (count(there.len(), "chat"), count(messages, "message"));
        if !confirmed(format_args!("Delete {chats} with {messages} from {}?", store.shown))? {
            say("nothing was deleted");
            return Ok(Outcome::Done);
        }
    }
    let mut deleted = 0;
    for session in &there {
        deleted += usize::from(chats.delete(session).await?);
    }
    if options.json {
        print_json(&json!({"chats": deleted, "messages": messages, "missing": missing}))?;
    } else if deleted > 0 {
        let (chats, messages) = (count(deleted, "chat"), count(messages, "message"));
        print(format_args!("deleted {chats} with {messages} from {}", store.shown))?;
    }
    Ok(if missing.is_empty() { Outcome::Done } else { Outcome::NothingFound })
}

/// The history of a session, or its newest messages.
async fn read(store: &Store, session: &str, last: Option<u32>) -> Result<Vec<ChatMessage>, Failure> {
    let chats = store.backend.chat()?;
    Ok(chats.messages(named(session)?, last.map(|last| last as usize)).await?)
}

/// Whether a session has a message.
async fn is_there(chats: &dyn ChatStore, session: &str) -> Result<bool, Failure> {
    Ok(!chats.messages(named(session)?, Some(1)).await?.is_empty())
}

/// Refuses a session without a name, in the words of the command line.
fn named(session: &str) -> Result<&str, Failure> {
    if session.is_empty() { Err(Failure::usage("the session's name is empty")) } else { Ok(session) }
}

/// Says that there is no such session.
fn unknown(store: &Store, session: &str) -> Outcome {
    let session = one_line(session, 200);
    say(format_args!(
        "there is no chat {session:?} in {}; `nodestore chat sessions` lists them",
        store.shown
    ));
    Outcome::NothingFound
}

fn to_json(messages: &[ChatMessage]) -> Value {
    messages.iter().map(|message| Value::Object(message.to_json())).collect()
}
