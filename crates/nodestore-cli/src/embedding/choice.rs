//! The options that choose an embedder.

use std::fmt;
use std::str::FromStr;

use clap::Args;

use crate::failure::Failure;

/// Which embedder makes the vectors.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct EmbedderArgs {
    /// What makes vectors of texts: hash, or openai:URL,MODEL
    ///
    /// hash needs no model and no network and compares wording; hash:256 makes vectors of 256 values. openai:URL,MODEL
    /// asks a model, by any service that speaks OpenAI's embeddings API, also one on this machine:
    /// openai:http://127.0.0.1:8080/v1,nomic-embed-text. The store remembers which embedder filled it, so the option is
    /// needed once.
    #[arg(
        long,
        value_name = "EMBEDDER",
        env = "NODESTORE_EMBEDDER",
        hide_env_values = true,
        help_heading = "Embedder"
    )]
    pub(crate) embedder: Option<String>,
    /// Values in a vector; for a store that has none yet, and for reembed [default: 512 for hash, the model's own for openai]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=65_536), help_heading = "Embedder")]
    pub(crate) dimensions: Option<u32>,
    #[arg(
        long,
        value_name = "NAME",
        help = "The environment variable that holds the endpoint's key [default: OPENAI_API_KEY]",
        help_heading = "Embedder"
    )]
    pub(crate) api_key_env: Option<String>,
    /// Does not keep embeddings of the endpoint; without it the store keeps them, so that no text is embedded twice
    #[arg(long, help_heading = "Embedder")]
    pub(crate) no_cache: bool,
}

/// Where the key is read unless `--api-key-env` says otherwise.
#[cfg(feature = "openai")]
const API_KEY_ENV: &str = "OPENAI_API_KEY";

impl EmbedderArgs {
    /// The embedder asked for. Not read by clap, which would repeat a wrong value with the password in its URL.
    pub(super) fn choice(&self) -> Result<Option<Choice>, Failure> {
        let choice = self.embedder.as_deref().map(str::trim).filter(|text| !text.is_empty());
        choice.map(str::parse).transpose().map_err(|why: String| {
            Failure::usage(format!("--embedder (or NODESTORE_EMBEDDER) can not be read: {why}"))
                .with_help(FORMS)
        })
    }

    /// Whether the options can be read; before a store is opened, and perhaps made, for nothing.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        self.dimensions().map(drop)
    }

    /// The environment variable that holds the key.
    #[cfg(feature = "openai")]
    pub(super) fn api_key_env(&self) -> &str {
        self.api_key_env.as_deref().unwrap_or(API_KEY_ENV)
    }

    /// The dimensions asked for, in the embedder's own option or beside it.
    pub(super) fn dimensions(&self) -> Result<Option<usize>, Failure> {
        let beside = self.dimensions.map(|dimensions| dimensions as usize);
        match (self.choice()?, beside) {
            (Some(Choice::Hash { dimensions: Some(own) }), Some(beside)) if own != beside => {
                Err(Failure::usage(format!("--embedder hash:{own} contradicts --dimensions {beside}"))
                    .with_help("leave --dimensions out"))
            }
            (Some(Choice::Hash { dimensions: Some(own) }), _) => Ok(Some(own)),
            _ => Ok(beside),
        }
    }
}

/// What `--embedder` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// A hash of words.
    Hash {
        /// Values in a vector, where given.
        dimensions: Option<usize>,
    },
    /// A model behind an endpoint that speaks OpenAI's embeddings API.
    OpenAi {
        /// `https://…/v1`; may hold a password.
        url: String,
        /// The model's name.
        model: String,
    },
}

const FORMS: &str = "write hash, hash:DIMENSIONS or openai:URL,MODEL, as in \
                     openai:http://127.0.0.1:8080/v1,nomic-embed-text";

impl Choice {
    /// What the embedder calls its model.
    pub(super) fn model(&self) -> &str {
        match self {
            Self::Hash { .. } => super::chosen::HASH,
            Self::OpenAi { model, .. } => model,
        }
    }
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text == "hash" {
            return Ok(Self::Hash { dimensions: None });
        }
        if let Some(dimensions) = text.strip_prefix("hash:") {
            return match dimensions.parse() {
                Ok(dimensions @ 1..=65_536) => Ok(Self::Hash { dimensions: Some(dimensions) }),
                _ => Err("hash:DIMENSIONS takes a number from 1 to 65536".to_owned()),
            };
        }
        let Some(rest) = text.strip_prefix("openai:") else {
            return Err("it is neither hash nor openai:…".to_owned());
        };
        let Some((url, model)) = rest.rsplit_once(',') else {
            return Err("the model is missing".to_owned());
        };
        let (url, model) = (url.trim(), model.trim());
        if model.is_empty() {
            return Err("the model is missing".to_owned());
        }
        if !url.starts_with("http://") && !url.starts_with("https://") {
            return Err("the URL does not begin with http:// or https://".to_owned());
        }
        Ok(Self::OpenAi { url: url.to_owned(), model: model.to_owned() })
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hash { dimensions: None } => f.write_str("hash"),
            Self::Hash { dimensions: Some(dimensions) } => write!(f, "hash:{dimensions}"),
            Self::OpenAi { url, model } => write!(f, "openai:{},{model}", nodestore::redact(url)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read() {
        assert_eq!("hash".parse(), Ok(Choice::Hash { dimensions: None }));
        assert_eq!("hash:64".parse(), Ok(Choice::Hash { dimensions: Some(64) }));
        let openai: Choice = "openai:https://u:s3cret@h/v1?a=1,2,org/model:7b".parse().unwrap();
        let url = "https://u:s3cret@h/v1?a=1,2".to_owned();
        assert_eq!(openai, Choice::OpenAi { url, model: "org/model:7b".into() });
        assert_eq!(openai.to_string(), "openai:https://u:***@h/v1?a=1,2,org/model:7b");
        for wrong in [
            "",
            "Hash",
            "hash:",
            "hash:0",
            "hash:70000",
            "openai:",
            "openai:http://h",
            "openai:http://h,",
            "openai:h,m",
        ] {
            assert!(wrong.parse::<Choice>().is_err(), "{wrong}");
        }
    }
}
