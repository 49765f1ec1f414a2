//! What `doctor` shows of a server.

use store_core::{Diagnosis, Result};

use crate::space::Space;

/// Looks at the server.
#[allow(clippy::unused_async, reason = "asks the server")]
pub(crate) async fn look(space: &Space) -> Result<Diagnosis> {
    let server = &space.server;
    let there = |there: bool| if there { "yes" } else { "no" };
    Ok(Diagnosis::new()
        .with_fact("server", format!("{} {} ({})", server.product, server.version, server.mode))
        .with_fact("search module", there(server.search))
        .with_fact("JSON module", there(server.json))
        .with_fact("vector sets", there(server.vector_sets))
        .with_fact("expiry of key-values", there(server.field_expiry)))
}
