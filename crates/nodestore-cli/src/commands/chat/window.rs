//! `chat window`: the part of a session that a model would be given.

use clap::Args;
use nodestore::{ChatMessage, ChatWindow};
use serde_json::json;

use super::{is_there, message, to_json, unknown};
use crate::cli::Global;
use crate::failure::{Failure, Outcome};
use crate::output::{count, print_json, say, thousands};
use crate::store::{Access, Store, with_store};

/// Show the newest messages that fit a limit: what a model would be given
///
/// A tool call and the answers to it are shown together or not at all. Tokens are estimated, a token for every four
/// characters: that is near for English and most models; --chars-per-token says otherwise. Images, sound and files
/// count as their names.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  nodestore chat window anna --tokens 2000
  nodestore chat window anna --tokens 2000 --instructions
  nodestore chat window anna --messages 20 --json

The exit code is 4 when no message fits.")]
pub(crate) struct Window {
    /// The session
    #[arg(value_name = "SESSION")]
    pub(crate) session: String,
    #[command(flatten)]
    pub(crate) limit: Limit,
    /// Keeps the system and developer messages at the session's start in every window; they count, too
    #[arg(long)]
    pub(crate) instructions: bool,
    /// Lets the newest message in even if it exceeds the limit, or the newest tool call with its answers
    #[arg(long)]
    pub(crate) newest_whole: bool,
    /// Characters that are taken for one token
    #[arg(long, value_name = "NUMBER", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) chars_per_token: u32,
    /// Prints JSON: {"messages": […], "tokens": …}
    #[arg(long)]
    pub(crate) json: bool,
}

/// How much fits.
#[derive(Args, Clone, Copy, Debug)]
#[group(required = true, multiple = false)]
pub(crate) struct Limit {
    /// At most so many tokens, as estimated
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) tokens: Option<u32>,
    /// At most so many messages
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) messages: Option<u32>,
}

pub(super) async fn run(options: &Window, global: &Global) -> Result<Outcome, Failure> {
    with_store(global, Access::Existing, async |store| window(options, store).await).await
}

async fn window(options: &Window, store: &Store) -> Result<Outcome, Failure> {
    let chats = store.backend.chat()?;
    if !is_there(&*chats, &options.session).await? {
        return Ok(unknown(store, &options.session));
    }
    let per_token = options.chars_per_token as usize;
    let window = match (options.limit.tokens, options.limit.messages) {
        (Some(most), _) => ChatWindow::token_budget(most as usize, move |message| tokens(message, per_token)),
        (None, most) => ChatWindow::last_messages(most.unwrap_or(1) as usize),
    };
    let window = window.with_instructions(options.instructions).with_newest_whole(options.newest_whole);
    let messages = window.read(&*chats, &options.session).await?;
    let tokens = messages.iter().map(|message| tokens(message, per_token)).sum();
    if options.json {
        print_json(&json!({"messages": to_json(&messages), "tokens": tokens}))?;
    } else {
        message::show(&messages)?;
    }
    if messages.is_empty() {
        say("no message fits; a greater limit helps, or --newest-whole, which lets the newest in");
        return Ok(Outcome::NothingFound);
    }
    if !options.json {
        say(format_args!("{}, about {} tokens", count(messages.len(), "message"), thousands(tokens)));
    }
    Ok(Outcome::Done)
}

/// An estimate: what is shown of a message and its role, a token for so many characters.
fn tokens(message: &ChatMessage, per_token: usize) -> usize {
    let characters = message.role.as_str().len() + message::text(message).chars().count();
    characters.div_ceil(per_token)
}
