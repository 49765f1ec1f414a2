//! Cases: one rule of behaviour each, listed once.

use std::fmt;

use futures::future::BoxFuture;
use store_core::{
    Capabilities, ChatStore, DocStore, IndexStore, KvStore, Metric, QueryKindName, VectorStore,
};

use crate::check::CaseResult;
use crate::harness::{Env, Harness, Scope};

/// The greatest value that the cases write: one that needs more is the backend's own to test.
const GREATEST_VALUE: usize = 64 << 20;

/// One rule of behaviour, as a function that fails when a store breaks it.
pub struct Case {
    pub(crate) suite: &'static str,
    pub(crate) name: &'static str,
    pub(crate) needs: &'static [Need],
    pub(crate) run: Run,
}

impl Case {
    /// The suite: `kv`.
    #[must_use]
    pub fn suite(&self) -> &'static str {
        self.suite
    }

    /// The name within the suite: `put_then_get`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Whether it is about chats.
    pub(crate) fn of_chats(&self) -> bool {
        matches!(self.run, Run::Chat(_)) || self.needs.contains(&Need::Chat)
    }

    /// Whether it is about vectors.
    pub(crate) fn of_vectors(&self) -> bool {
        let needs = |need: &Need| {
            use Need::{BareNodes, Fields, Filters, MaxDimensions, Metric, Query, Vectors};
            matches!(need, Vectors | Query(_) | Metric(_) | MaxDimensions | Fields | BareNodes | Filters)
        };
        matches!(self.run, Run::Vectors(_)) || self.needs.iter().any(needs)
    }

    /// Why this backend is not asked, or `None` when it offers all that the case needs.
    pub(crate) fn unmet(&self, capabilities: &Capabilities, harness: &Harness) -> Option<String> {
        let role = match self.run {
            Run::Kv(_) => Some(Need::Kv),
            Run::Docs(_) => Some(Need::Docs),
            Run::Index(_) => Some(Need::Index),
            Run::Chat(_) => Some(Need::Chat),
            Run::Vectors(_) => Some(Need::Vectors),
            Run::Env(_) => None,
        };
        role.iter()
            .chain(self.needs)
            .find(|need| !need.is_met(capabilities, harness))
            .map(|need| format!("the backend does not offer {need}"))
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}::{} needs {:?}", self.suite, self.name, self.needs)
    }
}

/// What a case needs of a backend, as its capabilities declare it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    Kv,
    KvTtl,
    KvKeyLimit,
    KvValueLimit,
    Docs,
    Index,
    Chat,
    GreatChats,
    Vectors,
    Query(QueryKindName),
    Metric(Metric),
    MaxDimensions,
    Fields,
    /// Vectors that take a node without an embedding.
    BareNodes,
    Reader,
    /// Documents or vectors: what takes filters.
    Filters,
    Durable,
}

impl Need {
    fn is_met(self, capabilities: &Capabilities, harness: &Harness) -> bool {
        let (kv, vectors) = (&capabilities.kv, &capabilities.vectors);
        match self {
            Self::Kv => kv.is_some(),
            Self::KvTtl => kv.as_ref().is_some_and(|kv| kv.ttl),
            Self::KvKeyLimit => kv.as_ref().is_some_and(|kv| kv.max_key_bytes.is_some()),
            Self::KvValueLimit => {
                let limit = kv.as_ref().and_then(|kv| kv.max_value_bytes);
                limit.is_some_and(|limit| limit <= GREATEST_VALUE)
            }
            Self::Docs => capabilities.docs,
            Self::Index => capabilities.index,
            Self::Chat => capabilities.chat,
            Self::Vectors => vectors.is_some(),
            Self::Query(kind) => vectors.as_ref().is_some_and(|vectors| vectors.query_kinds.contains(&kind)),
            Self::Metric(metric) => vectors.as_ref().is_some_and(|vectors| vectors.metrics.contains(&metric)),
            Self::MaxDimensions => vectors.as_ref().is_some_and(|vectors| vectors.max_dimensions.is_some()),
            Self::Fields => vectors.as_ref().is_some_and(|vectors| vectors.fields),
            Self::BareNodes => vectors.as_ref().is_some_and(|vectors| !vectors.needs_embeddings),
            Self::Reader => capabilities.reader,
            Self::Filters => capabilities.docs || vectors.is_some(),
            Self::Durable => harness.durable,
            Self::GreatChats => harness.scope != Scope::SmallChats,
        }
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kv => f.write_str("key-values"),
            Self::KvTtl => f.write_str("a time to live"),
            Self::KvKeyLimit => f.write_str("a stated limit of keys"),
            Self::KvValueLimit => f.write_str("a stated limit of values of at most 64 MB"),
            Self::Docs => f.write_str("documents"),
            Self::Index => f.write_str("index structs"),
            Self::Chat => f.write_str("chats"),
            Self::GreatChats => f.write_str("chats of more than 400 KB"),
            Self::Vectors => f.write_str("vectors"),
            Self::Query(kind) => write!(f, "{kind:?} queries"),
            Self::Metric(metric) => write!(f, "the {metric:?} metric"),
            Self::MaxDimensions => f.write_str("a stated limit of dimensions"),
            Self::Fields => f.write_str("field operations"),
            Self::BareNodes => f.write_str("nodes without embeddings"),
            Self::Reader => f.write_str("readers of collections"),
            Self::Filters => f.write_str("documents or vectors"),
            Self::Durable => f.write_str("data that outlives its last handle"),
        }
    }
}

type CaseFn<T> = for<'a> fn(&'a T) -> BoxFuture<'a, CaseResult>;

/// The function of a case, by what it is given.
pub(crate) enum Run {
    Kv(CaseFn<dyn KvStore>),
    Docs(CaseFn<dyn DocStore>),
    Index(CaseFn<dyn IndexStore>),
    Chat(CaseFn<dyn ChatStore>),
    Vectors(CaseFn<dyn VectorStore>),
    Env(CaseFn<Env>),
}

impl Run {
    pub(crate) async fn run(&self, env: &Env) -> CaseResult {
        match self {
            Self::Kv(case) => case(&*env.backend().kv()?).await,
            Self::Docs(case) => case(&*env.backend().docs()?).await,
            Self::Index(case) => case(&*env.backend().index()?).await,
            Self::Chat(case) => case(&*env.backend().chat()?).await,
            Self::Vectors(case) => case(&*env.backend().vectors()?).await,
            Self::Env(case) => case(env).await,
        }
    }
}

/// Lists the cases of a file: suite, what the functions are given, then each function with what else it needs.
macro_rules! cases {
    ($suite:literal, $role:ident: $($name:ident $([$($need:expr),+])?,)+) => {
        pub(crate) const CASES: &[$crate::case::Case] = &[$(
            $crate::case::Case {
                suite: $suite,
                name: stringify!($name),
                needs: &[$($($need),+)?],
                run: $crate::case::Run::$role(|it| Box::pin($name(it))),
            },
        )+];
    };
}
pub(crate) use cases;
