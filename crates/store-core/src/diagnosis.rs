//! What a backend says of its own health.

use serde::{Deserialize, Serialize};

/// What [`Backend::diagnose`](crate::Backend::diagnose) answers: facts to read, and findings to act on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Diagnosis {
    /// Versions, sizes and settings, in the order a person should read them.
    pub facts: Vec<Fact>,
    /// What was noticed; empty when all is well.
    pub findings: Vec<Finding>,
}

impl Diagnosis {
    /// No facts, no findings.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a fact.
    #[must_use]
    pub fn with_fact(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.facts.push(Fact { name: name.into(), value: value.into() });
        self
    }

    /// Adds a finding.
    #[must_use]
    pub fn with_finding(mut self, finding: Finding) -> Self {
        self.findings.push(finding);
        self
    }
}

/// A version, a size or a setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Fact {
    /// What it is: `layout version`.
    pub name: String,
    /// Its value, as a person reads it; never a secret.
    pub value: String,
}

/// Something that was noticed, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What it is about, in a word or two: `disk space`. Never empty.
    pub subject: String,
    /// What was found, with its figures. Never empty, never a secret.
    pub message: String,
    /// What to do next. Never empty.
    pub advice: String,
}

impl Finding {
    /// A finding of any severity.
    #[must_use]
    pub fn new(
        severity: Severity,
        subject: impl Into<String>,
        message: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self { severity, subject: subject.into(), message: message.into(), advice: advice.into() }
    }

    /// Something good to know.
    #[must_use]
    pub fn note(subject: impl Into<String>, message: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::new(Severity::Note, subject, message, advice)
    }

    /// Something that hurts or is going to.
    #[must_use]
    pub fn warning(
        subject: impl Into<String>,
        message: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self::new(Severity::Warning, subject, message, advice)
    }
}

/// How bad a [`Finding`] is; the worst is the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Good to know; nothing need be done.
    Note,
    /// It hurts, or it is going to.
    Warning,
    /// Something does not work.
    Error,
}

impl Severity {
    /// `note`, `warning` or `error`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}
