//! Nodes with embeddings, in LlamaIndex's layout, searched by Atlas search or by the plain server.

mod atlas;
mod atlas_explain;
mod atlas_health;
mod atlas_indexes;
mod atlas_search;
mod fields;
mod prefilter;
mod rows;
mod score;
mod search;
mod search_index;
mod select;
mod write;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bson::raw::RawDocumentBuf;
use bson::{Bson, Document, doc};
use futures::future::join;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use mongodb::options::IndexOptions;
use mongodb::{Collection, IndexModel};
use store_core::kit::vector_check::PageStart;
use store_core::kit::{check, vector_check};
use store_core::{
    AddMode, AddReport, Error, ErrorKind, GetOptions, MetadataPatch, Node, Page, QueryPlan, Result,
    ScoredNode, Selector, VectorCapabilities, VectorConfig, VectorFields, VectorQuery, VectorStore,
};

pub(crate) use self::atlas::{SCORE, number};
pub(crate) use self::atlas_health::diagnose;
use self::atlas_search::AtlasSearch;
pub(crate) use self::atlas_search::Searches;
use self::rows::REF_DOC_PATH;
pub(crate) use self::rows::to_node;
pub(crate) use self::search::words;
pub use self::search_index::SearchConfig;
pub(crate) use self::search_index::{FoundIndex, no_search};
use self::select::{Selected, both};
use crate::error::at;
use crate::filter::Place;
use crate::schema::META;
use crate::space::Space;

/// The member that holds a node's embedding.
pub(crate) const EMBEDDING: &str = "embedding";
/// The member that holds a node's text.
pub(crate) const TEXT: &str = "text";
/// LlamaIndex's name of the index on the ids of source documents.
const DELETE_INDEX: &str = "metadata_delete_index";
/// Queries of one call that the server works on at once.
const QUERIES: usize = 4;
/// Documents that one call of `clear` removes.
const CLEARED: u64 = 50_000;
/// Declared fields that get an index; a collection has at most 64 indexes.
const MAX_INDEXED: usize = 50;

pub(crate) fn capabilities() -> VectorCapabilities {
    VectorCapabilities::new().with_fields(true)
}

/// How each set was configured when it was last looked at: another program may have changed it since.
#[derive(Debug, Default)]
pub(crate) struct Configurations(Mutex<HashMap<String, VectorConfig>>);

impl Configurations {
    fn get(&self, set: &str) -> Option<VectorConfig> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(set).cloned()
    }

    fn set(&self, set: &str, config: &VectorConfig) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(set.to_owned(), config.clone());
    }
}

/// The vector role: one vector set.
#[derive(Clone, Debug)]
pub(crate) struct MongoVectorStore {
    space: Arc<Space>,
    /// The name of its collection.
    name: String,
    atlas: AtlasSearch,
}

/// The collection of a vector set: LlamaIndex's for the default one, and below it by name.
fn collection_name(space: &Space, set: Option<&str>) -> String {
    let base = &space.config.vector_collection;
    set.map_or_else(|| base.clone(), |set| format!("{base}/{set}"))
}

/// The key of a set's configuration in the collection of the store itself.
fn config_key(collection: &str) -> String {
    format!("vectors/{collection}")
}

fn meta(space: &Space) -> Result<Collection<Document>> {
    Ok(space.vector_database()?.collection(META))
}

/// The names of the configured sets, in order.
pub(crate) async fn set_names(space: &Space) -> Result<Vec<String>> {
    let prefix = config_key(&collection_name(space, Some("")));
    // The slash that it ends in is followed by the zero.
    let end = format!("{}0", prefix.trim_end_matches('/'));
    let meta = meta(space)?;
    let find = meta.find(doc! {"_id": {"$gt": &prefix, "$lt": end}}).projection(doc! {"_id": 1});
    let mut cursor = space.call(find.sort(doc! {"_id": 1})).await?;
    let mut names = Vec::new();
    while let Some(found) = space.call(cursor.try_next()).await? {
        let id = found.get_str("_id").unwrap_or_default();
        names.extend(id.strip_prefix(&prefix).map(str::to_owned));
    }
    Ok(names)
}

/// Removes a set; answers whether it was configured.
pub(crate) async fn drop_set(space: &Arc<Space>, set: Option<&str>) -> Result<bool> {
    let name = collection_name(space, set);
    let deleted = space.call(meta(space)?.delete_one(doc! {"_id": config_key(&name)})).await?;
    let collection = space.vector_database()?.collection::<Document>(&name);
    AtlasSearch::new(Arc::clone(space), &name).drop_indexes().await?;
    space.call(collection.drop()).await?;
    Ok(deleted.deleted_count > 0)
}

impl MongoVectorStore {
    pub(crate) fn new(space: Arc<Space>, set: Option<&str>) -> Self {
        let name = collection_name(&space, set);
        let atlas = AtlasSearch::new(Arc::clone(&space), &name);
        Self { space, name, atlas }
    }

    fn collection(&self) -> Result<Collection<RawDocumentBuf>> {
        Ok(self.space.vector_database()?.collection(&self.name))
    }

    /// What matches, without order.
    async fn find(
        &self,
        matches: Document,
        projection: Option<Document>,
    ) -> Result<mongodb::Cursor<RawDocumentBuf>> {
        let collection = self.collection()?;
        let find = collection.find(matches);
        match projection {
            Some(projection) => self.space.call(find.projection(projection)).await,
            None => self.space.call(find).await,
        }
    }

    async fn aggregate(&self, stages: Vec<Document>) -> Result<mongodb::Cursor<RawDocumentBuf>> {
        let collection = self.collection()?;
        // A search that nobody waits for any more must not keep the server busy.
        let most = self.space.config.operation_timeout.min(Duration::from_hours(24));
        let aggregate = collection.aggregate(stages).allow_disk_use(true).max_time(most);
        self.space.call(aggregate.with_type::<RawDocumentBuf>()).await
    }

    async fn stored_config(&self) -> Result<Option<VectorConfig>> {
        let meta = meta(&self.space)?;
        let find = meta.find_one(doc! {"_id": config_key(&self.name)});
        let Some(mut found) = self.space.call(find).await? else { return Ok(None) };
        let config = found.remove("config").unwrap_or(Bson::Null);
        bson::deserialize_from_bson(config).map(Some).map_err(|error| {
            Error::corrupt("the configuration of the vector set can not be read")
                .with_collection(&self.name)
                .with_source(error)
        })
    }

    /// The configuration; `Config` when there is none.
    async fn configured(&self) -> Result<VectorConfig> {
        self.stored_config().await?.ok_or_else(vector_check::not_configured)
    }

    async fn set_config(&self, config: &VectorConfig) -> Result<()> {
        let stored = self.stored_config().await?;
        match &stored {
            Some(stored) => vector_check::same_config(stored, config)?,
            None => self.check_dimensions(config).await?,
        }
        self.ensure_indexes(config).await?;
        if stored.as_ref() == Some(config) {
            return Ok(());
        }
        let value = bson::serialize_to_bson(config)
            .map_err(|error| Error::config("the configuration can not be encoded").with_source(error))?;
        let id = config_key(&self.name);
        let (dimensions, metric) = (number(config.dimensions), config.metric.as_str());
        // Another may configure at the same moment: what is there must still agree.
        let agrees = doc! {"_id": &id, "config.dimensions": dimensions, "config.metric": metric};
        let meta = meta(&self.space)?;
        let update = meta.update_one(agrees, doc! {"$set": {"config": value}}).upsert(true);
        match self.space.call(update).await {
            Ok(_) => Ok(()),
            // The upsert met a configuration that does not agree, or one that came a moment earlier.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                vector_check::same_config(&self.configured().await?, config)
            }
            Err(error) => Err(error),
        }
    }

    /// Holds a new configuration against what another program wrote.
    async fn check_dimensions(&self, config: &VectorConfig) -> Result<()> {
        let stages = [
            doc! {"$match": {"embedding": {"$type": "array"}}},
            doc! {"$limit": 1},
            doc! {"$project": {"length": {"$size": "$embedding"}}},
        ];
        let mut cursor = self.aggregate(stages.to_vec()).await?;
        let Some(found) = self.space.call(cursor.try_next()).await? else { return Ok(()) };
        let length = found.get_i32("length").unwrap_or_default();
        if Bson::from(length) == number(config.dimensions) {
            return Ok(());
        }
        Err(Error::config(format!(
            "the collection holds embeddings of {length} dimensions, not {}; use those, or another collection",
            config.dimensions
        ))
        .with_collection(&self.name))
    }

    /// The index that LlamaIndex deletes by, and one for each declared field.
    async fn ensure_indexes(&self, config: &VectorConfig) -> Result<()> {
        let named = IndexOptions::builder().name(DELETE_INDEX.to_owned()).build();
        let mut indexes = vec![IndexModel::builder().keys(doc! {REF_DOC_PATH: 1}).options(named).build()];
        // The server takes no index on a name that begins with a dollar.
        let fields = config.filterable.iter().flatten().map(|field| Place::Vectors.path(&field.key));
        let mut paths: Vec<String> = fields.filter(|path| !path.contains(".$")).collect();
        paths.sort_unstable();
        paths.dedup();
        paths.truncate(MAX_INDEXED);
        indexes.extend(paths.into_iter().map(|path| IndexModel::builder().keys(doc! {path: 1}).build()));
        self.space.call(self.collection()?.create_indexes(indexes)).await.map(|_| ())
    }

    /// Removes all documents, so many at a time that no call takes long. Not a drop: that would take the indexes
    /// along.
    async fn remove_all(&self) -> Result<()> {
        let collection = self.collection()?;
        loop {
            let next = collection.find_one(doc! {}).sort(doc! {"_id": 1}).skip(CLEARED);
            let next = self.space.call(next.projection(doc! {"_id": 1})).await?;
            let Some(bound) = next.as_ref().and_then(|next| rows::id(next)) else {
                return self.space.call(collection.delete_many(doc! {})).await.map(|_| ());
            };
            self.space.call(collection.delete_many(doc! {"_id": {"$lt": bound}})).await?;
        }
    }

    async fn page(&self, selector: &Selector, options: &GetOptions) -> Result<Page<Node>> {
        let start = PageStart::<String>::of(selector, options)?;
        let mut matches = self.matches(Selected::of(selector)?).await?;
        if let Some(after) = &start.after {
            matches = both([matches, doc! {"_id": {"$gt": after}}]);
        }
        let collection = self.collection()?;
        let mut find = collection.find(matches).sort(doc! {"_id": 1});
        if !options.with_embeddings {
            find = find.projection(doc! {EMBEDDING: 0});
        }
        if let Some(limit) = options.limit.and_then(|limit| i64::try_from(limit).ok()) {
            find = find.limit(limit);
        }
        let mut cursor = self.space.call(find).await?;
        let (mut items, mut seen, mut last) = (Vec::new(), 0, None);
        while let Some(document) = self.space.call(cursor.try_next()).await? {
            seen += 1;
            last = rows::id(&document).map(str::to_owned).or(last);
            items.extend(rows::to_node(&document)?);
        }
        let more = options.limit.is_some_and(|limit| seen >= limit);
        let next = last.filter(|_| more).map(|last| start.next(&last));
        Ok(Page { items, next })
    }
}

impl MongoVectorStore {
    /// The answers of all queries, each of which must be right for the configuration.
    async fn answers(&self, queries: &[VectorQuery], config: &VectorConfig) -> Result<Vec<Vec<ScoredNode>>> {
        queries.iter().try_for_each(|query| vector_check::query(query, config))?;
        // Collected first: a stream over borrowed queries is not general enough for the compiler.
        let searches: Vec<_> = queries.iter().map(|query| self.answer(query, config)).collect();
        stream::iter(searches).buffered(QUERIES).try_collect().await
    }

    /// Answers a query that was found right, by Atlas search if it can.
    async fn answer(&self, query: &VectorQuery, config: &VectorConfig) -> Result<Vec<ScoredNode>> {
        match self.atlas.query(config, query).await? {
            Some(found) => Ok(found),
            None => self.search(query, config).await,
        }
    }
}

fn count(documents: u64) -> usize {
    usize::try_from(documents).unwrap_or(usize::MAX)
}

#[async_trait]
impl VectorStore for MongoVectorStore {
    async fn configure(&self, config: VectorConfig) -> Result<()> {
        let configure = async {
            vector_check::config(&config, self.capabilities().max_dimensions)?;
            self.set_config(&config).await?;
            self.atlas.ensure(&config).await
        };
        configure.await.map_err(at("vectors.configure"))
    }

    async fn config(&self) -> Result<Option<VectorConfig>> {
        self.stored_config().await.map_err(at("vectors.config"))
    }

    fn capabilities(&self) -> VectorCapabilities {
        capabilities()
    }

    async fn upsert(&self, nodes: Vec<Node>, mode: AddMode) -> Result<AddReport> {
        self.write(nodes, mode).await.map_err(at("vectors.upsert"))
    }

    async fn query_many(&self, queries: &[VectorQuery]) -> Result<Vec<Vec<ScoredNode>>> {
        let search = async {
            let config = match self.space.configurations.get(&self.name) {
                None => self.configured().await?,
                Some(last) => {
                    // A round trip less: searched as it was configured last, and asked whether it still is.
                    let (config, found) = join(self.configured(), self.answers(queries, &last)).await;
                    let config = config?;
                    if config == last {
                        return found;
                    }
                    config
                }
            };
            self.space.configurations.set(&self.name, &config);
            self.answers(queries, &config).await
        };
        search.await.map_err(at("vectors.query"))
    }

    async fn explain(&self, query: &VectorQuery) -> Result<QueryPlan> {
        let explain = async {
            let config = self.configured().await?;
            vector_check::query(query, &config)?;
            match self.atlas.explain(&config, query).await? {
                Ok(plan) => Ok(plan),
                Err(why) => search::plan(query, &config, &why),
            }
        };
        explain.await.map_err(at("vectors.explain"))
    }

    async fn get(&self, selector: &Selector, options: GetOptions) -> Result<Page<Node>> {
        let get = async {
            self.configured().await?;
            self.page(selector, &options).await
        };
        get.await.map_err(at("vectors.get"))
    }

    async fn update(&self, selector: &Selector, patch: &MetadataPatch) -> Result<usize> {
        let update = async {
            self.configured().await?;
            check::restricted(selector)?;
            vector_check::patch(patch)?;
            self.patch(selector, patch).await
        };
        update.await.map_err(at("vectors.update"))
    }

    async fn delete(&self, selector: &Selector) -> Result<usize> {
        let delete = async {
            self.configured().await?;
            check::restricted(selector)?;
            let matches = self.matches(Selected::of(selector)?).await?;
            let deleted = self.space.call(self.collection()?.delete_many(matches)).await?;
            Ok(count(deleted.deleted_count))
        };
        delete.await.map_err(at("vectors.delete"))
    }

    async fn count(&self, selector: &Selector) -> Result<usize> {
        let read = async {
            self.configured().await?;
            check::valid_selector(selector)?;
            let matches = self.matches(Selected::of(selector)?).await?;
            self.space.call(self.collection()?.count_documents(matches)).await.map(count)
        };
        read.await.map_err(at("vectors.count"))
    }

    async fn clear(&self) -> Result<()> {
        let clear = async {
            self.configured().await?;
            self.remove_all().await
        };
        clear.await.map_err(at("vectors.clear"))
    }

    fn fields(&self) -> Option<&dyn VectorFields> {
        Some(self)
    }
}
