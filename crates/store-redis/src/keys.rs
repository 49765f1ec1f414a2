//! Finding keys by a pattern.

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use store_core::BoxStream;

use crate::driver::{Cmd, Node, bytes, items};
use crate::space::Space;

/// How many keys a step of SCAN looks at.
const STEP: i64 = 1_000;
/// The cursor at which SCAN begins, and has ended.
const END: &[u8] = b"0";

/// Which keys.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    /// As SCAN has it; [`begins_with`](crate::schema::begins_with) makes one of a text.
    pub(crate) pattern: String,
    /// The type of what they hold; `None`: any.
    pub(crate) kind: Option<&'static str>,
}

/// The keys that match, on every primary one after the other, in bounded parts. SCAN meets each key that is there all
/// the time, and may meet it more than once. It looks at every key of the server, so that it takes as long as there
/// are keys, however few match.
pub(crate) fn keys(space: &Arc<Space>, wanted: Keys) -> BoxStream<Vec<Bytes>> {
    let space = Arc::clone(space);
    let begin: Option<(Vec<Node>, Bytes)> = None;
    let step = move |place: Option<(Vec<Node>, Bytes)>| {
        let (space, wanted) = (Arc::clone(&space), wanted.clone());
        async move {
            let (mut nodes, cursor) = match place {
                Some(place) => place,
                None => (space.primaries()?, Bytes::from_static(END)),
            };
            let Some(node) = nodes.last().cloned() else { return Ok(None) };
            let mut step = Cmd::keyless("SCAN").on(node).arg(cursor);
            step = step.arg("MATCH").arg(wanted.pattern.as_str()).arg("COUNT").arg(STEP);
            if let Some(kind) = wanted.kind {
                step = step.args(["TYPE", kind]);
            }
            let mut answer = items(space.call(step).await?).into_iter();
            let cursor = answer.next().and_then(bytes).unwrap_or_else(|| Bytes::from_static(END));
            let keys: Vec<Bytes> =
                answer.next().map(items).unwrap_or_default().into_iter().filter_map(bytes).collect();
            if cursor.as_ref() == END {
                nodes.pop();
            }
            Ok(Some((keys, Some((nodes, cursor)))))
        }
    };
    stream::try_unfold(begin, step).boxed()
}
