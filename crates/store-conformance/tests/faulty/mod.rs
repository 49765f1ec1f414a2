//! A memory store with one fault.

mod chat;
mod docs;
mod kv;
mod vectors;

use std::sync::Arc;

use async_trait::async_trait;
use store_conformance::Harness;
use store_core::{
    Backend, Capabilities, ChatStore, DocStore, IndexStore, KvDocStore, KvStore, MemoryBackend, Result,
    VectorStore,
};

/// What the store does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Nothing,
    // Key-values.
    UpdateReadsThenWrites,
    GetManySortsKeys,
    PutDropsTheLastOfABatch,
    PutMergesMembers,
    PutOfAFewKeysIsTorn,
    InsertOverwrites,
    InsertNamesEveryKey,
    DeleteCountsKeysGiven,
    TtlIsIgnored,
    PutKeepsAnEarlierTtl,
    WholeFloatsBecomeIntegers,
    MembersAreSorted,
    ScanAfterIncludesItsKey,
    ScanPrefixIgnoresCase,
    KeysAreTrimmed,
    KeysAreCut,
    BatchIsWrittenUpToTheBadKey,
    UpdateErrorIsSwallowed,
    // Documents.
    DeleteLeavesTheEdges,
    DeletingTheLastNodeDeletesTheDocument,
    SetHashesDropsTheRefDoc,
    AddReplacesTheRefDoc,
    FindLimitsBeforeItFilters,
    FindBreaksTiesByPlace,
    SkipOverwrites,
    // Chats.
    AppendReadsThenReplaces,
    AppendCutsBatches,
    ReplaceDeletesThenAppends,
    RemoveReversesTheRest,
    InsertIgnoresNegativePositions,
    KeysOfEmptyHistories,
    // Vectors.
    FilterAfterTopK,
    TiesAreReversed,
    TopKIsOneTooMany,
    UnrestrictedDeleteClears,
    CursorRepeatsAnItem,
    CosineIsHalved,
    BadNodesAreLeftOut,
    NegationMatchesEverything,
    NumbersCompareAsFloats,
    EmbeddingsAlwaysCome,
    VectorUpdateReadsThenWrites,
    HybridRanksFromZero,
    MmrIsPlainSearch,
    ClearForgetsNothing,
    EmptyListSelectsEverything,
    FieldsAreNotThere,
    // Backends.
    NamespacesAreShared,
    DropKeepsTheConfiguration,
    GetHangs,
    GetPanics,
}

/// A harness around such a store.
pub(crate) fn harness(fault: Fault) -> Harness {
    let harness = Harness::new("faulty", move |namespace| async move {
        let namespace = if fault == Fault::NamespacesAreShared { "shared" } else { &namespace };
        Ok(Arc::new(Faulty { inner: MemoryBackend::shared(namespace), fault }) as Arc<dyn Backend>)
    });
    harness.with_durable(false).with_model_runs(12).with_random_filters(300)
}

#[derive(Debug)]
struct Faulty {
    inner: MemoryBackend,
    fault: Fault,
}

impl Faulty {
    fn faulty_kv(&self) -> Result<Arc<dyn KvStore>> {
        Ok(Arc::new(kv::Faulty { inner: self.inner.kv()?, fault: self.fault }))
    }
}

#[async_trait]
impl Backend for Faulty {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn ping(&self) -> Result<()> {
        self.inner.ping().await
    }

    async fn drop_namespace(&self) -> Result<()> {
        let vectors = self.inner.vectors()?;
        let config = vectors.config().await?;
        self.inner.drop_namespace().await?;
        match config.filter(|_| self.fault == Fault::DropKeepsTheConfiguration) {
            Some(config) => vectors.configure(config).await,
            None => Ok(()),
        }
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }

    fn kv(&self) -> Result<Arc<dyn KvStore>> {
        self.faulty_kv()
    }

    fn docs(&self) -> Result<Arc<dyn DocStore>> {
        // A fault of the key-values is one of the layer above too.
        let inner = Arc::new(KvDocStore::new(self.faulty_kv()?).with_backend(self.name()));
        Ok(Arc::new(docs::Faulty { inner, kv: self.inner.kv()?, fault: self.fault }))
    }

    fn index(&self) -> Result<Arc<dyn IndexStore>> {
        self.inner.index()
    }

    fn chat(&self) -> Result<Arc<dyn ChatStore>> {
        Ok(Arc::new(chat::Faulty { inner: self.inner.chat()?, fault: self.fault }))
    }

    fn vectors(&self) -> Result<Arc<dyn VectorStore>> {
        Ok(Arc::new(vectors::Faulty { inner: self.inner.vectors()?, fault: self.fault }))
    }
}
