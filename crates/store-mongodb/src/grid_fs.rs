//! Values too large for a document, as files of GridFS: BSON in the bucket `nodestore.values`.
//!
//! A file is written whole before a document points to it, and removed after none does, so that a reader never sees
//! half of one. What is left over when a writer dies in between is a file that no document points to.

use bson::oid::ObjectId;
use bson::raw::RawDocument;
use futures::io::{AsyncReadExt as _, AsyncWriteExt as _};
use mongodb::error::{ErrorKind as Driver, GridFsErrorKind};
use mongodb::gridfs::GridFsBucket;
use mongodb::options::GridFsBucketOptions;
use store_core::kit::check;
use store_core::{Error, JsonObject, Result};

use crate::codec::{self, DocumentWriter};
use crate::error::{from_driver, timed_out};
use crate::space::Space;

/// Largest value, in bytes: a value is read and written in one piece of memory.
pub(crate) const MAX_FILE_BYTES: usize = 512 << 20;
/// Bytes that are written within one timeout.
const PIECE: usize = 4 << 20;

fn bucket(space: &Space) -> Result<GridFsBucket> {
    let options = GridFsBucketOptions::builder().bucket_name("nodestore.values".to_owned()).build();
    Ok(space.kv_database()?.gridfs_bucket(options))
}

/// Writes a value into a new file; `name` is only for people.
pub(crate) async fn save(space: &Space, name: &str, key: &str, value: &JsonObject) -> Result<ObjectId> {
    let mut document = DocumentWriter::new();
    document.members(value)?;
    let document = document.finish()?;
    check::within("value", key, document.as_bytes().len(), MAX_FILE_BYTES)?;
    let (bucket, id) = (bucket(space)?, ObjectId::new());
    let mut stream = space.call(bucket.open_upload_stream(name).id(id.into())).await?;
    for piece in document.as_bytes().chunks(PIECE) {
        within(space, stream.write_all(piece)).await?;
    }
    within(space, stream.close()).await?;
    Ok(id)
}

/// Reads a file; `None` when it is gone.
pub(crate) async fn load(space: &Space, id: ObjectId) -> Result<Option<JsonObject>> {
    let bucket = bucket(space)?;
    let mut stream = match space.try_call(bucket.open_download_stream(id.into())).await? {
        Ok(stream) => stream,
        Err(error) if is_gone(&error) => return Ok(None),
        Err(error) => return Err(from_driver(error)),
    };
    let (mut bytes, mut piece) = (Vec::new(), vec![0; PIECE]);
    loop {
        let count = match within_io(space, stream.read(&mut piece)).await? {
            Ok(count) => count,
            // Its pieces are removed while we read: half of it is nothing.
            Err(error) if driver_error(&error).is_some_and(is_damaged) => return Ok(None),
            Err(error) => return Err(from_io(error)),
        };
        if count == 0 {
            break;
        }
        bytes.extend_from_slice(piece.get(..count).unwrap_or_default());
    }
    let document = RawDocument::from_bytes(&bytes).map_err(codec::damaged)?;
    codec::to_json(document).map(Some)
}

/// Removes files; those that are gone already are as good as removed.
pub(crate) async fn remove(space: &Space, ids: impl IntoIterator<Item = ObjectId>) -> Result<()> {
    let bucket = bucket(space)?;
    for id in ids {
        match space.try_call(bucket.delete(id.into())).await? {
            Err(error) if !is_gone(&error) => return Err(from_driver(error)),
            _ => {}
        }
    }
    Ok(())
}

fn is_gone(error: &mongodb::error::Error) -> bool {
    matches!(error.kind.as_ref(), Driver::GridFs(GridFsErrorKind::FileNotFound { .. }))
}

fn is_damaged(error: &mongodb::error::Error) -> bool {
    matches!(error.kind.as_ref(), Driver::GridFs(_))
}

fn driver_error(error: &std::io::Error) -> Option<&mongodb::error::Error> {
    error.get_ref()?.downcast_ref()
}

fn from_io(error: std::io::Error) -> Error {
    match error.downcast::<mongodb::error::Error>() {
        Ok(error) => from_driver(error),
        Err(error) => from_driver(mongodb::error::Error::from(error)),
    }
}

async fn within<T>(space: &Space, io: impl Future<Output = std::io::Result<T>>) -> Result<T> {
    within_io(space, io).await?.map_err(from_io)
}

async fn within_io<T>(
    space: &Space,
    io: impl Future<Output = std::io::Result<T>>,
) -> Result<std::io::Result<T>> {
    let limit = space.config.operation_timeout;
    tokio::time::timeout(limit, io).await.map_err(|_| timed_out(limit))
}
