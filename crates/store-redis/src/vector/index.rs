//! The index of the search module.

use store_core::Result;

use crate::driver::{Cmd, items, text};
use crate::space::Space;

/// Removes every index of the space; the rows stay.
pub(super) async fn drop_all(space: &Space) -> Result<()> {
    for name in items(space.call(Cmd::keyless("FT._LIST")).await?) {
        if let Some(name) = text(&name).filter(|name| name.starts_with(&space.prefix)) {
            let _ = space.call(Cmd::write("FT.DROPINDEX", name)).await;
        }
    }
    Ok(())
}
