//! The bodies of the fuzz targets of this crate: see `fuzz/` and `scripts/fuzz`.
#![allow(clippy::missing_panics_doc, clippy::unwrap_used, reason = "tests, in the shape that a fuzzer wants")]

#[path = "../../../fuzz/common.rs"]
#[allow(dead_code, reason = "each crate needs a part of it")]
mod common;
use std::path::Path;

use common::{check_place, parts, shown, text};
use store_core::kit::url_text::encode;

use crate::folder::{Export, Import};
use crate::url::Target;
use crate::{Backend, Error, MemoryBackend, OpenOptions, Result, redact};

/// A password, which nothing may show.
const PASSWORD: &str = "s3cr3t-pa55w0rd";

/// URLs of all stores, with a password: `scheme NUL user NUL what stands in the password before and NUL behind our own
/// text NUL the rest of the URL`.
pub fn url(data: &[u8]) {
    let [scheme, user, before, behind, rest] = parts(data).map(text);
    let (Some(scheme), Some(user), Some(rest)) = (scheme, user, rest) else { return };
    let (Some(before), Some(behind)) = (before, behind) else { return };
    let user: String = user.chars().filter(char::is_ascii_alphanumeric).collect();
    let scheme: String = scheme.chars().filter(|c| c.is_ascii_alphanumeric() || "+-.".contains(*c)).collect();
    // They may be shown, whatever they are called.
    if [scheme.as_str(), &user, rest].iter().any(|part| part.to_ascii_lowercase().contains(PASSWORD)) {
        return;
    }
    let password = format!("{before}{PASSWORD}{behind}");
    // As it ought to be, and as people forget to.
    for password in [encode(&password), password] {
        let url = format!("{scheme}://{user}:{password}@{rest}");
        // In a path an @ is a character as any other.
        if scheme.eq_ignore_ascii_case("embedded") || scheme.eq_ignore_ascii_case("memory") {
            let _ = Target::parse(&url, &OpenOptions::default());
            continue;
        }
        hides(&redact(&url));
        match Target::parse(&url, &OpenOptions::default()) {
            Ok(target) => hides(&format!("{target:?}")),
            Err(error) => hides(&shown(&error)),
        }
        #[cfg(feature = "cassandra")]
        read::<store_cassandra::CassandraConfig>(&url);
        #[cfg(feature = "dynamodb")]
        read::<store_dynamodb::DynamoDbConfig>(&url);
        #[cfg(feature = "mongodb")]
        read::<store_mongodb::MongoConfig>(&url);
        #[cfg(feature = "redis")]
        read::<store_redis::RedisConfig>(&url);
        #[cfg(feature = "openai")]
        hides(&format!("{:?}", crate::OpenAiConfig::new(url, "m")));
    }
    // Without a user: what is wrong is said, with its place.
    let url = format!("{scheme}://{rest}");
    let _ = redact(&url);
    if let Err(error) = Target::parse(&url, &OpenOptions::default()) {
        check_place(&error);
    }
}

fn read<T: std::str::FromStr<Err = Error> + std::fmt::Debug>(url: &str) {
    match url.parse::<T>() {
        Ok(config) => hides(&format!("{config:?} {config:#?}")),
        Err(error) => hides(&shown(&error)),
    }
}

fn hides(text: &str) {
    assert!(!text.contains(PASSWORD), "the password is shown: {text}");
}

/// Folders of LlamaIndex: `docstore.json NUL index_store.json NUL default__vector_store.json`. One that is found whole
/// goes into a store, out of it and in again, and is the same.
pub fn folder(data: &[u8]) {
    let [docs, indexes, vectors] = parts(data);
    let place = std::env::temp_dir().join(format!("nodestore-fuzz-folder-{}", std::process::id()));
    let (from, to) = (place.join("from"), place.join("to"));
    std::fs::create_dir_all(&from).unwrap();
    for (name, bytes) in
        [("docstore.json", docs), ("index_store.json", indexes), ("default__vector_store.json", vectors)]
    {
        if !bytes.is_empty() {
            std::fs::write(from.join(name), bytes).unwrap();
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let outcome = runtime.block_on(there_and_back(&from, &to));
    std::fs::remove_dir_all(&place).unwrap();
    if let Err(error) = outcome {
        check_place(&error);
    }
}

/// The error is of the folder that was given; what we wrote ourselves must be whole.
async fn there_and_back(from: &Path, to: &Path) -> Result<()> {
    Import::new(from).check().await?;
    let (first, second) = (MemoryBackend::new(), MemoryBackend::new());
    Import::new(from).run(&first).await?;
    Export::new(to).run(&first).await?;
    Import::new(to).run(&second).await.unwrap();
    let [one, other] = [first, second].map(counts);
    assert_eq!(one.await?, other.await.unwrap());
    Ok(())
}

/// The nodes, and how many hashes and vectors there are.
async fn counts(store: MemoryBackend) -> Result<(Vec<crate::Node>, usize, usize)> {
    use futures::TryStreamExt as _;
    let docs = store.docs()?;
    let nodes: Vec<crate::Node> = docs.scan(None).try_collect().await?;
    let hashes: Vec<_> = docs.scan_hashes(None).try_collect().await?;
    let vectors = store.vectors()?;
    let count = match vectors.config().await? {
        Some(_) => vectors.count(&crate::Selector::all()).await?,
        None => 0,
    };
    Ok((nodes, hashes.len(), count))
}

#[cfg(test)]
mod tests {
    use super::common::replay;

    #[test]
    fn corpus() {
        replay("url", super::url);
        replay("folder", super::folder);
    }
}
