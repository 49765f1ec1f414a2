//! Our side at a folder that `StorageContext` persisted: imported before each request, exported after it.

use std::path::PathBuf;
use std::sync::Arc;

use nodestore::MemoryBackend;
use nodestore::folder::{Export, Import};
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::CaseResult;
use crate::ours::Ours;
use crate::side::Side;

/// Ours at one folder.
pub(crate) struct Folder<'a> {
    pub(crate) path: PathBuf,
    pub(crate) runtime: &'a Runtime,
}

impl Side for Folder<'_> {
    fn name(&self) -> &'static str {
        "ours"
    }

    fn call(&self, op: &str, args: Value) -> CaseResult<Value> {
        let backend = Arc::new(MemoryBackend::new());
        if self.path.exists() {
            let imported = self.runtime.block_on(Import::new(&self.path).run(&*backend));
            imported.map_err(|error| format!("ours: {op}: import: {error}"))?;
        }
        let ours = Ours { backend: Arc::clone(&backend) as _, runtime: self.runtime, nodes: "docstore/data" };
        let answer = ours.call(op, args)?;
        let exported = self.runtime.block_on(Export::new(&self.path).with_force(true).run(&*backend));
        exported.map_err(|error| format!("ours: {op}: export: {error}"))?;
        Ok(answer)
    }
}
