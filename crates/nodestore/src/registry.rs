//! Which backend opens which URL.

use std::sync::Arc;

use async_trait::async_trait;
use store_core::{Backend, Result};

use crate::OpenOptions;
use crate::url::{Target, config};

/// Opens the URLs of some schemes.
///
/// ```
/// use std::sync::Arc;
/// use nodestore::{Backend, Driver, MemoryBackend, Registry, Result, Target};
///
/// #[derive(Debug)]
/// struct Scratch;
///
/// #[async_trait::async_trait]
/// impl Driver for Scratch {
///     fn schemes(&self) -> &[&'static str] {
///         &["scratch"]
///     }
///     async fn open(&self, _target: &Target) -> Result<Arc<dyn Backend>> {
///         Ok(Arc::new(MemoryBackend::new()))
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<()> {
/// let store = Registry::new().with(Scratch).open("scratch:").await?;
/// assert_eq!(store.name(), "memory");
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait Driver: std::fmt::Debug + Send + Sync + 'static {
    /// The schemes, in lower case and without colon.
    fn schemes(&self) -> &[&'static str];

    /// Opens a store. Errors name unknown options and list the known ones, and never show the URL's secrets
    /// (see [`redact`](crate::redact)).
    async fn open(&self, target: &Target) -> Result<Arc<dyn Backend>>;
}

/// A backend that the facade knows of, compiled in or not.
struct Known {
    name: &'static str,
    schemes: &'static [&'static str],
    state: State,
}

#[derive(Clone, Copy)]
enum State {
    Ready(&'static dyn Driver),
    /// The cargo feature of this name is off.
    #[allow(dead_code, reason = "every backend may be compiled in")]
    FeatureOff(&'static str),
}

/// The schemes of each backend.
pub(crate) mod schemes {
    pub(crate) const CASSANDRA: &[&str] = &["cassandra"];
    pub(crate) const DYNAMODB: &[&str] = &["dynamodb"];
    pub(crate) const EMBEDDED: &[&str] = &["embedded"];
    pub(crate) const MEMORY: &[&str] = &["memory"];
    pub(crate) const MONGODB: &[&str] = &["mongodb", "mongodb+srv"];
    /// One server, a cluster and Sentinel, each without TLS and with it, of Redis and of Valkey.
    pub(crate) const REDIS: &[&str] = &[
        "redis",
        "rediss",
        "redis-cluster",
        "rediss-cluster",
        "redis-sentinel",
        "rediss-sentinel",
        "valkey",
        "valkeys",
        "valkey-cluster",
        "valkeys-cluster",
        "valkey-sentinel",
        "valkeys-sentinel",
    ];
}

/// A driver, if its cargo feature is on.
macro_rules! state {
    ($feature:tt, $driver:ident) => {{
        #[cfg(feature = $feature)]
        const STATE: State = State::Ready(&crate::drivers::$driver);
        #[cfg(not(feature = $feature))]
        const STATE: State = State::FeatureOff($feature);
        STATE
    }};
}

const KNOWN: &[Known] = &[
    Known { name: "embedded", schemes: schemes::EMBEDDED, state: state!("embedded", Embedded) },
    Known { name: "memory", schemes: schemes::MEMORY, state: State::Ready(&crate::drivers::Memory) },
    Known { name: "MongoDB", schemes: schemes::MONGODB, state: state!("mongodb", Mongo) },
    Known { name: "Redis", schemes: schemes::REDIS, state: state!("redis", Redis) },
    Known { name: "DynamoDB", schemes: schemes::DYNAMODB, state: state!("dynamodb", DynamoDb) },
    Known { name: "Cassandra", schemes: schemes::CASSANDRA, state: state!("cassandra", Cassandra) },
];

/// The backends that URLs can name: those compiled in, and third parties'.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    /// Last added first.
    added: Vec<Arc<dyn Driver>>,
}

impl Registry {
    /// The backends compiled in.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a driver; for a scheme that has one already, the new one counts.
    #[must_use]
    pub fn with(mut self, driver: impl Driver) -> Self {
        self.added.insert(0, Arc::new(driver));
        self
    }

    /// The schemes that can be opened, sorted.
    #[must_use]
    pub fn schemes(&self) -> Vec<&str> {
        let mut schemes: Vec<&str> = self.added.iter().flat_map(|driver| driver.schemes()).copied().collect();
        for known in KNOWN {
            if matches!(known.state, State::Ready(_)) {
                schemes.extend(known.schemes);
            }
        }
        schemes.sort_unstable();
        schemes.dedup();
        schemes
    }

    /// Opens the store of a URL.
    pub async fn open(&self, url: &str) -> Result<Arc<dyn Backend>> {
        self.open_with(url, &OpenOptions::default()).await
    }

    /// Opens the store of a URL with settings beside it.
    pub async fn open_with(&self, url: &str, options: &OpenOptions) -> Result<Arc<dyn Backend>> {
        let target = Target::parse(url, options)?;
        let scheme = target.scheme();
        if let Some(driver) = self.added.iter().find(|driver| driver.schemes().contains(&scheme)) {
            return driver.open(&target).await;
        }
        match KNOWN.iter().find(|known| known.schemes.contains(&scheme)) {
            Some(Known { state: State::Ready(driver), .. }) => driver.open(&target).await,
            known => Err(config(self.why_not(scheme, known))),
        }
    }

    /// Why a scheme can not be opened, and what can.
    fn why_not(&self, scheme: &str, known: Option<&Known>) -> String {
        let can: Vec<String> = self.schemes().into_iter().map(|scheme| format!("{scheme}:")).collect();
        let can = format!("what can be opened: {}", can.join(", "));
        match known.map(|known| (known.name, known.state)) {
            Some((name, State::FeatureOff(feature))) => format!(
                "{scheme}: needs the {name} backend, which this program was built without; build it with the \
                 cargo feature {feature:?} of the crate nodestore ({can})"
            ),
            _ => format!("unknown scheme {scheme}: ({can})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn message(url: &str) -> String {
        Registry::new().open(url).await.unwrap_err().to_string()
    }

    #[tokio::test]
    async fn an_unknown_scheme_lists_what_can_be_opened() {
        let error = message("sqlite:///x").await;
        assert!(error.contains("unknown scheme sqlite:"), "{error}");
        assert!(error.contains("memory:"), "{error}");
    }

    #[test]
    fn a_feature_that_is_off_is_named() {
        let off = Known { name: "embedded", schemes: &["embedded"], state: State::FeatureOff("embedded") };
        let message = Registry::new().why_not("embedded", Some(&off));
        assert!(message.contains(r#"the cargo feature "embedded" of the crate nodestore"#), "{message}");
    }

    #[test]
    fn no_scheme_has_two_backends() {
        let mut schemes: Vec<&str> = KNOWN.iter().flat_map(|known| known.schemes).copied().collect();
        let all = schemes.len();
        schemes.sort_unstable();
        schemes.dedup();
        assert_eq!(schemes.len(), all);
    }

    #[derive(Debug)]
    struct Refusing(&'static str);

    #[async_trait]
    impl Driver for Refusing {
        fn schemes(&self) -> &[&'static str] {
            &["memory", "own"]
        }

        async fn open(&self, target: &Target) -> Result<Arc<dyn Backend>> {
            Err(config(format!("{} {}", self.0, target.url())))
        }
    }

    #[tokio::test]
    async fn an_added_driver_comes_before_those_built_in_and_before_earlier_ones() {
        let registry = Registry::new().with(Refusing("first")).with(Refusing("second"));
        assert!(registry.schemes().contains(&"own"));
        for url in ["memory:", "own:x?y=1"] {
            let error = registry.open(url).await.unwrap_err();
            assert_eq!(error.message(), format!("second {url}"));
        }
    }
}
