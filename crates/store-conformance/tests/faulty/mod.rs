//! A memory store with one fault.

mod chat;
mod docs;
mod kv;
mod vectors;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use store_conformance::Harness;
use store_core::{
    Backend, Capabilities, ChatStore, Diagnosis, DocStore, Finding, IndexStore, KvDocStore, KvStore,
    MemoryBackend, Result, VectorStore,
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
    // Limits: the first is none, but a store that has some.
    LimitsAreStated,
    KeyLimitIsOffByOne,
    LimitErrorNamesNothing,
    LimitIsForgottenInUpdates,
    LimitedBatchIsHalfWritten,
    // Documents.
    DeleteLeavesTheEdges,
    DeleteTrustsTheHashEntries,
    DeletingTheLastNodeDeletesTheDocument,
    SetHashesDropsTheRefDoc,
    AddReplacesTheRefDoc,
    FindLimitsBeforeItFilters,
    FindBreaksTiesByPlace,
    SkipOverwrites,
    AddTrustsStoredNodes,
    // Chats.
    AppendReadsThenReplaces,
    AppendCutsBatches,
    AppendGoesOneByOne,
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
    UpsertWritesMetadataLater,
    HybridRanksFromZero,
    MmrIsPlainSearch,
    ClearForgetsNothing,
    EmptyListSelectsEverything,
    FieldsAreNotThere,
    // Backends.
    NamespacesAreShared,
    DropKeepsTheConfiguration,
    DiagnosisLeavesATrace,
    DiagnosisGivesNoAdvice,
    SetsAreTheDefaultOne,
    SetsOutliveTheNamespace,
    GetHangs,
    GetPanics,
}

/// Long enough for another task to get in between, or for a call to be dropped there.
async fn pause() {
    tokio::time::sleep(Duration::from_millis(1)).await;
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
    fn is_limited(&self) -> bool {
        use Fault::{
            KeyLimitIsOffByOne, LimitErrorNamesNothing, LimitIsForgottenInUpdates, LimitedBatchIsHalfWritten,
            LimitsAreStated,
        };
        matches!(
            self.fault,
            LimitsAreStated
                | KeyLimitIsOffByOne
                | LimitErrorNamesNothing
                | LimitIsForgottenInUpdates
                | LimitedBatchIsHalfWritten
        )
    }

    fn faulty_vectors(&self, inner: Arc<dyn VectorStore>) -> Arc<dyn VectorStore> {
        let mut capabilities = inner.capabilities();
        capabilities.max_dimensions = self.is_limited().then_some(16);
        Arc::new(vectors::Faulty { inner, fault: self.fault, capabilities })
    }

    fn faulty_kv(&self) -> Result<Arc<dyn KvStore>> {
        let inner = self.inner.kv()?;
        let mut capabilities = inner.capabilities();
        if self.is_limited() {
            capabilities = capabilities.with_max_key_bytes(64).with_max_value_bytes(3_000);
        }
        Ok(Arc::new(kv::Faulty { inner, fault: self.fault, capabilities }))
    }
}

#[async_trait]
impl Backend for Faulty {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = self.inner.capabilities();
        capabilities.kv = self.faulty_kv().ok().map(|kv| kv.capabilities());
        capabilities.vectors = self.vectors().ok().map(|vectors| vectors.capabilities());
        capabilities
    }

    async fn ping(&self) -> Result<()> {
        self.inner.ping().await
    }

    async fn diagnose(&self) -> Result<Diagnosis> {
        if self.fault == Fault::DiagnosisLeavesATrace {
            store_core::KvStoreExt::put(
                &*self.inner.kv()?,
                "marks",
                "diagnosed",
                store_core::JsonObject::new(),
            )
            .await?;
        }
        let mut diagnosis = self.inner.diagnose().await?;
        if self.fault == Fault::DiagnosisGivesNoAdvice {
            diagnosis.findings.push(Finding::warning("x", "something is wrong", ""));
        }
        Ok(diagnosis)
    }

    async fn drop_namespace(&self) -> Result<()> {
        let vectors = self.inner.vectors()?;
        let config = vectors.config().await?;
        let mut kept = Vec::new();
        if self.fault == Fault::SetsOutliveTheNamespace {
            for name in self.inner.vector_sets().await? {
                kept.extend(self.inner.vector_set(&name)?.config().await?.map(|config| (name, config)));
            }
        }
        self.inner.drop_namespace().await?;
        for (name, config) in kept {
            self.inner.vector_set(&name)?.configure(config).await?;
        }
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
        Ok(self.faulty_vectors(self.inner.vectors()?))
    }

    fn vector_set(&self, name: &str) -> Result<Arc<dyn VectorStore>> {
        let set = self.inner.vector_set(name)?;
        Ok(self.faulty_vectors(match self.fault {
            Fault::SetsAreTheDefaultOne => self.inner.vectors()?,
            _ => set,
        }))
    }

    async fn vector_sets(&self) -> Result<Vec<String>> {
        self.inner.vector_sets().await
    }

    async fn drop_vector_set(&self, name: Option<&str>) -> Result<bool> {
        self.inner.drop_vector_set(name).await
    }
}
