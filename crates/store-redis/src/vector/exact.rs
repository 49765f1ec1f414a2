//! Exact search without the search module: every row is read.

use std::sync::Arc;

use async_trait::async_trait;
use futures::{StreamExt as _, stream};
use store_core::{
    BoxStream, Error, QueryPlan, Result, ScoredNode, Selector, VectorCapabilities, VectorConfig, VectorQuery,
};

use super::engine::{Candidates, Engine};
use super::set::Set;
use crate::error::NAME;

/// The engine that reads every row.
#[derive(Clone, Copy, Debug)]
pub(super) struct ExactSearch;

#[async_trait]
impl Engine for ExactSearch {
    fn capabilities(&self) -> VectorCapabilities {
        VectorCapabilities::new().with_fields(true)
    }

    async fn prepare(&self, _set: &Set, _config: &VectorConfig) -> Result<()> {
        Err(Error::unsupported(NAME, "vectors without the search module"))
    }

    async fn forget(&self, _set: &Set) -> Result<()> {
        Ok(())
    }

    async fn query(&self, _: &Arc<Set>, _: &VectorConfig, _: &VectorQuery) -> Result<Vec<ScoredNode>> {
        Err(Error::unsupported(NAME, "vectors without the search module"))
    }

    fn explain(&self, _: &Set, _: &VectorConfig, _: &VectorQuery) -> Result<QueryPlan> {
        Err(Error::unsupported(NAME, "vectors without the search module"))
    }

    fn candidates(&self, _: &Arc<Set>, _: &Arc<VectorConfig>, _: &Selector) -> BoxStream<Candidates> {
        let error = Error::unsupported(NAME, "vectors without the search module");
        stream::once(async { Err(error) }).boxed()
    }

    async fn sure_count(
        &self,
        _: &Arc<Set>,
        _: &Arc<VectorConfig>,
        _: &Selector,
    ) -> Result<Option<(usize, BoxStream<Candidates>)>> {
        Ok(None)
    }
}
