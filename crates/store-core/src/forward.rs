//! Every role trait, implemented for `Arc<T>` and `Box<T>`.

use std::sync::Arc;

use async_trait::async_trait;

use crate::{
    AddMode, AddOptions, AddReport, Backend, BoxStream, Capabilities, ChatMessage, ChatStore, Diagnosis,
    DocQuery, DocStore, Document, Filter, GetOptions, IndexStore, IndexStruct, JsonObject, KvCapabilities,
    KvStore, MetadataPatch, Node, NodeId, Page, PutMode, PutOptions, QueryPlan, Reader, RefDocDeleted,
    RefDocId, RefDocInfo, Result, Retriever, ScanOptions, ScoredNode, Selector, UpdateFn, VectorCapabilities,
    VectorConfig, VectorFields, VectorQuery, VectorStore,
};

macro_rules! forward {
    ($pointer:ident) => {
        #[deny(clippy::missing_trait_methods)]
        #[async_trait]
        impl<T: KvStore + ?Sized> KvStore for $pointer<T> {
            async fn get_many(&self, collection: &str, keys: &[&str]) -> Result<Vec<Option<JsonObject>>> {
                (**self).get_many(collection, keys).await
            }

            async fn put_many(
                &self,
                collection: &str,
                entries: Vec<(String, JsonObject)>,
                options: PutOptions,
            ) -> Result<()> {
                (**self).put_many(collection, entries, options).await
            }

            async fn put_nodes(&self, collection: &str, nodes: &[Node], mode: PutMode) -> Result<()> {
                (**self).put_nodes(collection, nodes, mode).await
            }

            async fn delete_many(&self, collection: &str, keys: &[&str]) -> Result<usize> {
                (**self).delete_many(collection, keys).await
            }

            async fn update_many(
                &self,
                collection: &str,
                keys: &[&str],
                apply: &mut UpdateFn<'_>,
            ) -> Result<Vec<Option<JsonObject>>> {
                (**self).update_many(collection, keys, apply).await
            }

            fn scan(&self, collection: &str, options: ScanOptions) -> BoxStream<(String, JsonObject)> {
                (**self).scan(collection, options)
            }

            fn capabilities(&self) -> KvCapabilities {
                (**self).capabilities()
            }
        }

        #[deny(clippy::missing_trait_methods)]
        #[async_trait]
        impl<T: DocStore + ?Sized> DocStore for $pointer<T> {
            async fn add(&self, nodes: Vec<Node>, options: AddOptions) -> Result<AddReport> {
                (**self).add(nodes, options).await
            }

            async fn get_many(&self, ids: &[NodeId]) -> Result<Vec<Option<Node>>> {
                (**self).get_many(ids).await
            }

            async fn exist_many(&self, ids: &[NodeId]) -> Result<Vec<bool>> {
                (**self).exist_many(ids).await
            }

            async fn count(&self, filter: Option<&Filter>) -> Result<usize> {
                (**self).count(filter).await
            }

            async fn delete_many(&self, ids: &[NodeId]) -> Result<usize> {
                (**self).delete_many(ids).await
            }

            async fn find(&self, query: &DocQuery) -> Result<Page<JsonObject>> {
                (**self).find(query).await
            }

            async fn ref_doc(&self, id: &RefDocId) -> Result<Option<RefDocInfo>> {
                (**self).ref_doc(id).await
            }

            async fn delete_ref_doc(&self, id: &RefDocId) -> Result<Option<RefDocDeleted>> {
                (**self).delete_ref_doc(id).await
            }

            async fn hashes(&self, ids: &[NodeId]) -> Result<Vec<Option<String>>> {
                (**self).hashes(ids).await
            }

            async fn set_hashes(&self, hashes: Vec<(NodeId, String)>) -> Result<()> {
                (**self).set_hashes(hashes).await
            }

            fn scan(&self, after: Option<NodeId>) -> BoxStream<Node> {
                (**self).scan(after)
            }

            fn scan_ref_docs(&self, after: Option<RefDocId>) -> BoxStream<(RefDocId, RefDocInfo)> {
                (**self).scan_ref_docs(after)
            }

            fn scan_hashes(&self, after: Option<NodeId>) -> BoxStream<(NodeId, String)> {
                (**self).scan_hashes(after)
            }
        }

        #[deny(clippy::missing_trait_methods)]
        #[async_trait]
        impl<T: IndexStore + ?Sized> IndexStore for $pointer<T> {
            async fn put(&self, index: IndexStruct) -> Result<()> {
                (**self).put(index).await
            }

            async fn get(&self, index_id: &str) -> Result<Option<IndexStruct>> {
                (**self).get(index_id).await
            }

            async fn delete(&self, index_id: &str) -> Result<bool> {
                (**self).delete(index_id).await
            }

            fn scan(&self, after: Option<String>) -> BoxStream<IndexStruct> {
                (**self).scan(after)
            }
        }

        #[deny(clippy::missing_trait_methods)]
        #[async_trait]
        impl<T: ChatStore + ?Sized> ChatStore for $pointer<T> {
            async fn messages(&self, key: &str, last: Option<usize>) -> Result<Vec<ChatMessage>> {
                (**self).messages(key, last).await
            }

            async fn append(&self, key: &str, messages: Vec<ChatMessage>) -> Result<()> {
                (**self).append(key, messages).await
            }

            async fn replace(&self, key: &str, messages: Vec<ChatMessage>) -> Result<()> {
                (**self).replace(key, messages).await
            }

            async fn delete(&self, key: &str) -> Result<bool> {
                (**self).delete(key).await
            }

            async fn remove_at(&self, key: &str, index: i64) -> Result<Option<ChatMessage>> {
                (**self).remove_at(key, index).await
            }

            async fn insert_at(&self, key: &str, index: i64, message: ChatMessage) -> Result<()> {
                (**self).insert_at(key, index, message).await
            }

            async fn pop(&self, key: &str) -> Result<Option<ChatMessage>> {
                (**self).pop(key).await
            }

            fn keys(&self, after: Option<String>) -> BoxStream<String> {
                (**self).keys(after)
            }
        }

        #[deny(clippy::missing_trait_methods)]
        #[async_trait]
        impl<T: VectorStore + ?Sized> VectorStore for $pointer<T> {
            async fn configure(&self, config: VectorConfig) -> Result<()> {
                (**self).configure(config).await
            }

            async fn config(&self) -> Result<Option<VectorConfig>> {
                (**self).config().await
            }

            fn capabilities(&self) -> VectorCapabilities {
                (**self).capabilities()
            }

            async fn upsert(&self, nodes: Vec<Node>, mode: AddMode) -> Result<AddReport> {
                (**self).upsert(nodes, mode).await
            }

            async fn query_many(&self, queries: &[VectorQuery]) -> Result<Vec<Vec<ScoredNode>>> {
                (**self).query_many(queries).await
            }

            async fn explain(&self, query: &VectorQuery) -> Result<QueryPlan> {
                (**self).explain(query).await
            }

            async fn get(&self, selector: &Selector, options: GetOptions) -> Result<Page<Node>> {
                (**self).get(selector, options).await
            }

            async fn update(&self, selector: &Selector, patch: &MetadataPatch) -> Result<usize> {
                (**self).update(selector, patch).await
            }

            async fn delete(&self, selector: &Selector) -> Result<usize> {
                (**self).delete(selector).await
            }

            async fn count(&self, selector: &Selector) -> Result<usize> {
                (**self).count(selector).await
            }

            async fn clear(&self) -> Result<()> {
                (**self).clear().await
            }

            fn fields(&self) -> Option<&dyn VectorFields> {
                (**self).fields()
            }
        }

        #[deny(clippy::missing_trait_methods)]
        #[async_trait]
        impl<T: Retriever + ?Sized> Retriever for $pointer<T> {
            async fn retrieve(&self, question: &str) -> Result<Vec<ScoredNode>> {
                (**self).retrieve(question).await
            }
        }

        #[deny(clippy::missing_trait_methods)]
        impl<T: Reader + ?Sized> Reader for $pointer<T> {
            fn read(&self) -> BoxStream<Document> {
                (**self).read()
            }
        }

        #[deny(clippy::missing_trait_methods)]
        #[async_trait]
        impl<T: Backend + ?Sized> Backend for $pointer<T> {
            fn name(&self) -> &'static str {
                (**self).name()
            }

            fn capabilities(&self) -> Capabilities {
                (**self).capabilities()
            }

            async fn ping(&self) -> Result<()> {
                (**self).ping().await
            }

            async fn diagnose(&self) -> Result<Diagnosis> {
                (**self).diagnose().await
            }

            async fn drop_namespace(&self) -> Result<()> {
                (**self).drop_namespace().await
            }

            async fn close(&self) -> Result<()> {
                (**self).close().await
            }

            fn kv(&self) -> Result<Arc<dyn KvStore>> {
                (**self).kv()
            }

            fn docs(&self) -> Result<Arc<dyn DocStore>> {
                (**self).docs()
            }

            fn index(&self) -> Result<Arc<dyn IndexStore>> {
                (**self).index()
            }

            fn chat(&self) -> Result<Arc<dyn ChatStore>> {
                (**self).chat()
            }

            fn vectors(&self) -> Result<Arc<dyn VectorStore>> {
                (**self).vectors()
            }

            fn vector_set(&self, name: &str) -> Result<Arc<dyn VectorStore>> {
                (**self).vector_set(name)
            }

            async fn vector_sets(&self) -> Result<Vec<String>> {
                (**self).vector_sets().await
            }

            async fn drop_vector_set(&self, name: Option<&str>) -> Result<bool> {
                (**self).drop_vector_set(name).await
            }

            fn collection_reader(&self, collection: &str) -> Result<Arc<dyn Reader>> {
                (**self).collection_reader(collection)
            }
        }
    };
}
forward!(Arc);
forward!(Box);
