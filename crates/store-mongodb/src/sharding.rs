//! Shard keys: how a collection is spread over the shards of a cluster.

use bson::{Bson, Document, doc};
use mongodb::Collection;
use store_core::{Error, ErrorKind, Result};

use crate::MongoBackend;
use crate::error::at;
use crate::transaction::{Deployment, deployment};

/// By which fields a collection is spread over the shards of a cluster.
///
/// *Hashed*: documents are spread evenly, whatever their values; a query by an exact value goes to one shard, a range
/// to all. *Ranged*: documents with near values lie together, a range goes to few shards; but a value that only grows
/// (a date, an `ObjectId`) sends every insert to the same one. Good keys for the store's own collections:
///
/// | collection | key |
/// |---|---|
/// | key-values, documents, vectors | `ShardKey::hashed("_id")` |
/// | chats (`sessions`) | `ShardKey::ranged("session_id").and_ranged("index")`, or `ShardKey::hashed("session_id")` |
///
/// ```
/// use store_mongodb::ShardKey;
/// use store_mongodb::bson::doc;
///
/// let key = ShardKey::ranged("country").and_hashed("customer");
/// assert_eq!(
///     key.command("shop.orders"),
///     doc! {"shardCollection": "shop.orders", "key": {"country": 1, "customer": "hashed"}}
/// );
/// ```
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct ShardKey {
    fields: Document,
    unique: bool,
    chunks: Option<u16>,
}

impl ShardKey {
    /// By the hash of a field.
    pub fn hashed(field: impl Into<String>) -> Self {
        Self::new().and_hashed(field)
    }

    /// By the values of a field.
    pub fn ranged(field: impl Into<String>) -> Self {
        Self::new().and_ranged(field)
    }

    /// Then by the hash of another field; one field of a key may be hashed.
    pub fn and_hashed(mut self, field: impl Into<String>) -> Self {
        self.fields.insert(field.into(), "hashed");
        self
    }

    /// Then by the values of another field.
    pub fn and_ranged(mut self, field: impl Into<String>) -> Self {
        self.fields.insert(field.into(), 1);
        self
    }

    /// No two documents may have the same values in the key's fields; not for hashed keys. A cluster can not hold
    /// any other index unique, but those that begin with the key.
    pub fn unique(mut self) -> Self {
        self.unique = true;
        self
    }

    /// With how many chunks an empty collection begins; for keys that begin with a hashed field. Servers from 7.2 on
    /// take no notice.
    pub fn with_chunks(mut self, chunks: u16) -> Self {
        self.chunks = Some(chunks);
        self
    }

    /// The fields, each `1` or `"hashed"`.
    #[must_use]
    pub fn fields(&self) -> &Document {
        &self.fields
    }

    /// The command that shards a collection, named as `database.collection`, by this key: for a `mongos`, on the
    /// database `admin`, by a user with the role `clusterManager`.
    #[must_use]
    pub fn command(&self, collection: &str) -> Document {
        let mut command = doc! {"shardCollection": collection, "key": self.fields.clone()};
        if self.unique {
            command.insert("unique", true);
        }
        if let Some(chunks) = self.chunks {
            command.insert("numInitialChunks", i32::from(chunks));
        }
        command
    }

    fn new() -> Self {
        Self { fields: Document::new(), unique: false, chunks: None }
    }

    /// What the server refuses, too, but with less said.
    fn validate(&self) -> Result<()> {
        let hashed = self.fields.values().filter(|kind| kind.as_str() == Some("hashed")).count();
        let refused = if self.fields.keys().any(String::is_empty) {
            "a shard key's fields must have names"
        } else if hashed > 1 {
            "only one field of a shard key may be hashed"
        } else if hashed > 0 && self.unique {
            "a hashed shard key can not be unique"
        } else {
            return Ok(());
        };
        Err(Error::invalid_input(refused))
    }
}

impl MongoBackend {
    /// Spreads a collection over the shards of the cluster by this key; answers whether it was not so already.
    ///
    /// Sends `enableSharding` for the database (needed before server 6.0) and [`ShardKey::command`]. A collection
    /// with documents must have an index that begins with the key: see
    /// [`ensure_indexes`](MongoBackend::ensure_indexes). A sharded collection can not be made whole again by us;
    /// `reshardCollection` gives it another key (server 5.0 and later).
    ///
    /// # Errors
    /// `Unsupported` where the server is no `mongos`. `Config` when the collection is sharded by another key.
    /// `InvalidInput` for a key that no server takes. `Unauthorized` without the role `clusterManager`.
    pub async fn shard_collection<T: Send + Sync>(
        &self,
        collection: &Collection<T>,
        key: &ShardKey,
    ) -> Result<bool> {
        let sharded = async {
            key.validate()?;
            if let Some(present) = self.present_key(collection).await? {
                if same(&present, key.fields()) {
                    return Ok(false);
                }
                return Err(Error::config(format!(
                    "it is sharded by another key, {present}, not by {}; leave it, or give it that key by the command \
                     reshardCollection",
                    key.fields()
                )));
            }
            let (space, namespace) = (self.space(), collection.namespace());
            let admin = space.client()?.database("admin");
            space.call(admin.run_command(doc! {"enableSharding": &namespace.db})).await?;
            space.call(admin.run_command(key.command(&namespace.to_string()))).await?;
            Ok(true)
        };
        sharded.await.map_err(|error| at("shard_collection")(error).with_collection(collection.name()))
    }

    /// The fields of the key by which a collection is sharded, each `1` or `"hashed"`; `None` if it is not.
    ///
    /// # Errors
    /// `Unsupported` where the server is no `mongos`.
    pub async fn shard_key<T: Send + Sync>(&self, collection: &Collection<T>) -> Result<Option<Document>> {
        let key = self.present_key(collection).await;
        key.map_err(|error| at("shard_key")(error).with_collection(collection.name()))
    }

    async fn present_key<T: Send + Sync>(&self, collection: &Collection<T>) -> Result<Option<Document>> {
        let space = self.space();
        if deployment(space).await? != Deployment::Sharded {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "the server is no mongos of a sharded cluster; connect to one, or leave the collection whole",
            ));
        }
        let collections = space.client()?.database("config").collection::<Document>("collections");
        let find =
            collections.find_one(doc! {"_id": collection.namespace().to_string(), "key": {"$exists": true}});
        let found = space.call(find).await?;
        Ok(found.and_then(|mut found| match found.remove("key") {
            Some(Bson::Document(key)) => Some(key),
            _ => None,
        }))
    }
}

/// Whether two keys name the same fields in the same order; `1` may be of any type of number.
fn same(one: &Document, other: &Document) -> bool {
    let plain = |key: &Document| -> Vec<(String, bool)> {
        key.iter().map(|(field, kind)| (field.clone(), kind.as_str() == Some("hashed"))).collect()
    };
    plain(one) == plain(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_as_the_manual_has_them() {
        assert_eq!(
            ShardKey::hashed("_id").with_chunks(64).command("a.b"),
            doc! {"shardCollection": "a.b", "key": {"_id": "hashed"}, "numInitialChunks": 64}
        );
        assert_eq!(
            ShardKey::ranged("x").and_ranged("y").unique().command("a.b"),
            doc! {"shardCollection": "a.b", "key": {"x": 1, "y": 1}, "unique": true}
        );
    }

    #[test]
    fn keys_that_no_server_takes_are_refused() {
        for key in [
            ShardKey::ranged(""),
            ShardKey::hashed("a").and_hashed("b"),
            ShardKey::ranged("a").and_hashed("b").unique(),
        ] {
            assert_eq!(key.validate().map_err(|error| error.kind()), Err(ErrorKind::InvalidInput), "{key:?}");
        }
        assert!(ShardKey::ranged("a").and_hashed("b").validate().is_ok());
    }

    #[test]
    fn the_same_key_is_known_again() {
        assert!(same(&doc! {"a": 1.0, "b": "hashed"}, ShardKey::ranged("a").and_hashed("b").fields()));
        assert!(!same(&doc! {"b": 1, "a": 1}, ShardKey::ranged("a").and_ranged("b").fields()));
        assert!(!same(&doc! {"a": 1}, ShardKey::hashed("a").fields()));
    }
}
