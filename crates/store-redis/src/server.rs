//! What a server is and can do, asked once when the store is opened.

use store_core::Result;

use crate::driver::{Cmd, Driver, items, text};
use crate::error::one_of_many;

/// What a server is and can do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is there or not, independently")]
pub(crate) struct Abilities {
    /// `redis` or `valkey`.
    pub(crate) product: String,
    /// The product's version; empty when the user may not ask.
    pub(crate) version: String,
    /// `standalone`, `sentinel` or `cluster`.
    pub(crate) mode: String,
    /// Single fields of a hash can expire (Redis 7.4, Valkey 9).
    pub(crate) field_expiry: bool,
    /// The search module is there.
    pub(crate) search: bool,
    /// The JSON module is there.
    pub(crate) json: bool,
    /// Vector sets are there (Redis 8).
    pub(crate) vector_sets: bool,
}

impl Abilities {
    /// Asks the server. What the user may not ask counts as not there.
    pub(crate) async fn ask(driver: &Driver) -> Result<Self> {
        // Not COMMAND INFO: its answer in RESP3 is more than the driver can read.
        let list = |name: &str| Cmd::keyless("COMMAND").args(["LIST", "FILTERBY", "PATTERN", name]);
        let mut asked = vec![Cmd::keyless("INFO").arg("server"), Cmd::keyless("INFO").arg("modules")];
        asked.extend(["HPEXPIRE", "FT.SEARCH", "JSON.SET", "VADD"].map(list));
        let mut answers = driver.pipeline(asked).await?.into_iter();
        let mut info = || match answers.next() {
            Some(Ok(info)) => Ok(text(&info).unwrap_or_default().to_owned()),
            Some(Err(error)) if !is_refusal(&error) => Err(error),
            _ => Ok(String::new()),
        };
        let (info, modules) = (info()?, info()?);
        // Before Redis 7 there is no list; of these commands such a server can have those of modules.
        let loaded = |name: &str| modules.contains(&format!("module:name={name},"));
        let mut known = [false, loaded("search"), loaded("ReJSON"), false];
        for (known, answer) in known.iter_mut().zip(answers) {
            match answer {
                Ok(names) => *known = !items(names).is_empty(),
                Err(error) if !is_refusal(&error) => return Err(error),
                Err(_) => {}
            }
        }
        let has = |position: usize| known.get(position).copied().unwrap_or(false);
        let line = |name: &str| {
            info.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
                .unwrap_or_default()
                .trim()
        };
        let valkey = line("valkey_version");
        let (product, version) =
            if valkey.is_empty() { ("redis", line("redis_version")) } else { ("valkey", valkey) };
        if line("redis_mode") == "cluster" && !driver.is_cluster() && !is_alone(driver).await? {
            return Err(one_of_many());
        }
        Ok(Self {
            product: product.to_owned(),
            version: version.to_owned(),
            mode: line("redis_mode").to_owned(),
            field_expiry: has(0),
            search: has(1),
            json: has(2),
            vector_sets: has(3),
        })
    }
}

/// Whether a node of a cluster holds all keys by itself, or the user may not ask.
async fn is_alone(driver: &Driver) -> Result<bool> {
    match driver.call(Cmd::keyless("CLUSTER").arg("INFO")).await {
        Ok(info) => Ok(text(&info).unwrap_or_default().lines().any(|line| line.trim() == "cluster_size:1")),
        Err(error) if is_refusal(&error) => Ok(true),
        Err(error) => Err(error),
    }
}

fn is_refusal(error: &store_core::Error) -> bool {
    matches!(error.kind(), store_core::ErrorKind::Unauthorized | store_core::ErrorKind::Unsupported)
}
