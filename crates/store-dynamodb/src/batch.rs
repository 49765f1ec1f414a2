//! `BatchGetItem` and `BatchWriteItem` over any number of items: in requests of the service's size, several at once, and
//! what the service leaves undone again until it is done or the time of the call is over.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_sdk_dynamodb::types::{AttributeValue, DeleteRequest, KeysAndAttributes, PutRequest, WriteRequest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use store_core::kit::batches::cut;
use store_core::{Error, ErrorKind, Result};
use tokio::time::Instant;

use crate::attempts;
use crate::codec::{Item, item_size};
use crate::decimal::Decimal;
use crate::space::Space;
use crate::tables::unbuilt;

/// Keys in one `BatchGetItem`, the service's limit.
const READ_KEYS: usize = 100;
/// Items in one `BatchWriteItem`, the service's limit.
const WRITE_ITEMS: usize = 25;
/// Bytes of items in one `BatchWriteItem`. The service takes 16 MB as sent, where a character may take six bytes.
const WRITE_BYTES: usize = 5 << 19;
/// Requests of one call that are under way at the same time.
pub(crate) const AT_ONCE: usize = 8;
/// The longest pause after a first refusal, doubled with each further one, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(25);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What a read is for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Read<'a> {
    pub(crate) table: &'a str,
    /// The attributes of the table's key.
    pub(crate) key: &'a [&'a str],
    /// Only these attributes, besides the key's; `None` = all.
    pub(crate) fields: Option<&'a [&'a str]>,
    /// Whether the read sees every write that was answered before it.
    pub(crate) consistent: bool,
}

/// A write without a condition.
#[derive(Debug, PartialEq)]
pub(crate) struct Write {
    /// What is put, or the key of what is deleted.
    item: Item,
    deletes: bool,
    pub(crate) bytes: usize,
}

impl Write {
    /// Puts an item, whatever is there.
    pub(crate) fn put(item: Item) -> Self {
        let bytes = item_size(&item);
        Self::put_of(item, bytes)
    }

    /// As [`put`](Self::put), where its bytes are counted already.
    pub(crate) fn put_of(item: Item, bytes: usize) -> Self {
        Self { item, deletes: false, bytes }
    }

    /// Deletes the item of a key, if there is one.
    pub(crate) fn delete(key: Item) -> Self {
        let bytes = item_size(&key);
        Self { item: key, deletes: true, bytes }
    }

    fn request(&self) -> Result<WriteRequest> {
        let (request, item) = (WriteRequest::builder(), self.item.clone());
        Ok(if self.deletes {
            let delete = DeleteRequest::builder().set_key(Some(item)).build().map_err(unbuilt)?;
            request.delete_request(delete).build()
        } else {
            let put = PutRequest::builder().set_item(Some(item)).build().map_err(unbuilt)?;
            request.put_request(put).build()
        })
    }

    fn of_request(request: WriteRequest) -> Option<Self> {
        let delete = |request: DeleteRequest| Self::delete(request.key);
        request.put_request.map(|request| Self::put(request.item)).or(request.delete_request.map(delete))
    }
}

/// Pauses between repetitions: of random length, the longer the more of them there were, until a deadline.
#[derive(Debug)]
pub(crate) struct Backoff {
    pub(crate) deadline: Instant,
    limit: Duration,
    longest: Duration,
    most: Duration,
}

impl Backoff {
    /// For a call that may take so long.
    pub(crate) fn new(limit: Duration) -> Self {
        Self { deadline: attempts::deadline(limit), limit, longest: FIRST_PAUSE, most: LONGEST_PAUSE }
    }

    /// For what meets other writers, not a service that is too busy: no pause is longer than this.
    pub(crate) fn with_pauses_up_to(mut self, most: Duration) -> Self {
        self.most = most;
        self
    }

    /// Waits for a call of the driver, no longer than until the deadline.
    pub(crate) async fn within<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        attempts::until(self.deadline, self.limit, call).await?
    }

    /// Pauses; `false`, without a pause, if the time would be over. After `progress` the next pauses are short again.
    pub(crate) async fn pause(&mut self, progress: bool) -> bool {
        if progress {
            self.longest = FIRST_PAUSE;
        }
        let most = u64::try_from(self.longest.as_micros()).unwrap_or(u64::MAX);
        let pause = Duration::from_micros(fastrand::u64(0..=most));
        if Instant::now() + pause >= self.deadline {
            return false;
        }
        tokio::time::sleep(pause).await;
        self.longest = (self.longest * 2).min(self.most);
        true
    }

    /// The error of what was not done in time; `failed` names it.
    pub(crate) fn throttled(&self, failed: Vec<String>) -> Error {
        let message = format!(
            "the service asks for a slower pace and left {} items undone for {} ms; try them again later, or give \
             the table more capacity",
            failed.len(),
            self.limit.as_millis()
        );
        Error::new(ErrorKind::Throttled, message).with_failed(failed)
    }
}

/// The items of these keys, in their order; `None` where there is none. A key may be given more than once.
///
/// `Throttled` when the service did not give all of them in time; `failed` names those by the last attribute of their
/// keys.
pub(crate) async fn get(space: &Space, read: &Read<'_>, keys: Vec<Item>) -> Result<Vec<Option<Item>>> {
    let mut places: HashMap<String, Vec<usize>> = HashMap::with_capacity(keys.len());
    let mut found = vec![None; keys.len()];
    let mut unique = Vec::with_capacity(keys.len());
    for (place, key) in keys.into_iter().enumerate() {
        let places = places.entry(identity(&key, read.key)).or_default();
        places.push(place);
        if places.len() == 1 {
            unique.push(key);
        }
    }
    let limit = space.config.operation_timeout;
    let requests = runs(unique, READ_KEYS, usize::MAX, |_| 0)
        .into_iter()
        .map(|run| async move { get_run(space, read, run, Backoff::new(limit)).await });
    let mut answers = stream::iter(requests).buffer_unordered(AT_ONCE);
    while let Some(items) = answers.try_next().await? {
        for item in items {
            let Some(places) = places.get(&identity(&item, read.key)) else { continue };
            let Some((last, others)) = places.split_last() else { continue };
            for place in others {
                if let Some(slot) = found.get_mut(*place) {
                    *slot = Some(item.clone());
                }
            }
            if let Some(slot) = found.get_mut(*last) {
                *slot = Some(item);
            }
        }
    }
    Ok(found)
}

/// What one request reads, with its repetitions.
async fn get_run(
    space: &Space,
    read: &Read<'_>,
    mut keys: Vec<Item>,
    mut backoff: Backoff,
) -> Result<Vec<Item>> {
    let mut found = Vec::with_capacity(keys.len());
    let mut undone = false;
    loop {
        let before = found.len();
        match backoff.within(ask(space, read, &keys)).await {
            Ok((items, left)) => {
                found.extend(items);
                keys = left;
            }
            Err(error) if error.kind() == ErrorKind::Throttled => {}
            // The time was over in the middle of a repetition: why there was one says more.
            Err(error) if undone && error.kind() == ErrorKind::Timeout => {}
            Err(error) => return Err(error),
        }
        if keys.is_empty() {
            return Ok(found);
        }
        undone = true;
        if !backoff.pause(found.len() > before).await {
            let last = read.key.last().copied().unwrap_or_default();
            return Err(backoff.throttled(keys.iter().map(|key| name_of(key, last)).collect()));
        }
    }
}

/// One request: the items that it found, and the keys that the service left undone. A single key is not asked for as a
/// batch, which takes the service and the driver longer.
async fn ask(space: &Space, read: &Read<'_>, keys: &[Item]) -> Result<(Vec<Item>, Vec<Item>)> {
    let fields = read.fields.map(|fields| projection(read.key.iter().chain(fields).copied()));
    let (names, projection) = fields.unzip();
    if let [key] = keys {
        let request = space
            .client()?
            .get_item()
            .table_name(read.table)
            .set_key(Some(key.clone()))
            .set_consistent_read(read.consistent.then_some(true))
            .set_expression_attribute_names(names)
            .set_projection_expression(projection);
        let answer = space.call(request.send()).await?;
        return Ok((answer.item.into_iter().collect(), Vec::new()));
    }
    let wanted = KeysAndAttributes::builder()
        .set_keys(Some(keys.to_vec()))
        .set_consistent_read(read.consistent.then_some(true))
        .set_expression_attribute_names(names)
        .set_projection_expression(projection);
    let request =
        space.client()?.batch_get_item().request_items(read.table, wanted.build().map_err(unbuilt)?);
    let answer = space.call(request.send()).await?;
    let found = answer.responses.into_iter().flatten().flat_map(|(_, items)| items).collect();
    let left = answer.unprocessed_keys.into_iter().flatten().flat_map(|(_, left)| left.keys).collect();
    Ok((found, left))
}

/// Makes unconditional writes, each of its own item: a key given twice in one call is refused by the service.
///
/// On an error `failed` names all that was not written, or of which it is not known, by the attribute `name`.
pub(crate) async fn write(space: &Space, table: &str, writes: Vec<Write>, name: &str) -> Result<()> {
    write_named(space, table, writes, &|item| name_of(item, name)).await
}

/// As [`write`], of items that are named otherwise.
pub(crate) async fn write_named(
    space: &Space,
    table: &str,
    writes: Vec<Write>,
    name: &(impl Fn(&Item) -> String + Sync),
) -> Result<()> {
    let stop = AtomicBool::new(false);
    let limit = space.config.operation_timeout;
    let requests = runs(writes, WRITE_ITEMS, WRITE_BYTES, |write| write.bytes).into_iter().map(|run| {
        let stop = &stop;
        async move {
            if stop.load(Ordering::Acquire) {
                return (run, None);
            }
            let (left, error) = write_run(space, table, run, Backoff::new(limit), name).await;
            stop.fetch_or(error.is_some(), Ordering::AcqRel);
            (left, error)
        }
    });
    let (mut failed, mut first) = (Vec::new(), None);
    let mut answers = stream::iter(requests).buffer_unordered(AT_ONCE);
    while let Some((left, error)) = answers.next().await {
        failed.extend(left.iter().map(|write| name(&write.item)));
        first = first.or(error);
    }
    match first {
        None => Ok(()),
        Some(error) => Err(error.with_failed(failed)),
    }
}

/// What one request writes, with its repetitions; what was left, and why.
async fn write_run(
    space: &Space,
    table: &str,
    mut writes: Vec<Write>,
    mut backoff: Backoff,
    name: &(impl Fn(&Item) -> String + Sync),
) -> (Vec<Write>, Option<Error>) {
    loop {
        let (before, mut in_the_way) = (writes.len(), None);
        match backoff.within(tell(space, table, &writes)).await {
            Ok(left) => writes = left,
            Err(error) if error.kind() == ErrorKind::Throttled => {}
            // Of a write without a condition: a transaction of another, for longer than the driver repeats it.
            Err(error) if error.kind() == ErrorKind::Conflict => in_the_way = Some(error),
            Err(error) => return (writes, Some(error)),
        }
        if writes.is_empty() {
            return (writes, None);
        }
        if !backoff.pause(writes.len() < before).await {
            let failed = writes.iter().map(|write| name(&write.item)).collect();
            return (writes, Some(in_the_way.unwrap_or_else(|| backoff.throttled(failed))));
        }
    }
}

/// One request: the writes that the service left undone. A single one does not go as a batch, as in [`ask`].
async fn tell(space: &Space, table: &str, writes: &[Write]) -> Result<Vec<Write>> {
    let client = space.client()?;
    if let [write] = writes {
        let item = Some(write.item.clone());
        return if write.deletes {
            let request = client.delete_item().table_name(table).set_key(item);
            space.call(request.send()).await.map(|_| Vec::new())
        } else {
            let request = client.put_item().table_name(table).set_item(item);
            space.call(request.send()).await.map(|_| Vec::new())
        };
    }
    let requests = writes.iter().map(Write::request).collect::<Result<Vec<_>>>()?;
    let request = client.batch_write_item().request_items(table, requests);
    let answer = space.call(request.send()).await?;
    let left = answer.unprocessed_items.into_iter().flatten().flat_map(|(_, left)| left);
    Ok(left.filter_map(Write::of_request).collect())
}

/// The names and the expression of a projection.
pub(crate) fn projection<'a>(fields: impl IntoIterator<Item = &'a str>) -> (HashMap<String, String>, String) {
    let mut fields: Vec<&str> = fields.into_iter().collect();
    fields.sort_unstable();
    fields.dedup();
    let names: Vec<String> = (0..fields.len()).map(|number| format!("#f{number}")).collect();
    let expression = names.join(", ");
    (names.into_iter().zip(fields.into_iter().map(str::to_owned)).collect(), expression)
}

/// Cuts items into what goes in one request.
pub(crate) fn runs<T>(
    items: Vec<T>,
    most: usize,
    most_bytes: usize,
    bytes_of: impl Fn(&T) -> usize,
) -> Vec<Vec<T>> {
    let lengths: Vec<usize> = cut(&items, most, most_bytes, bytes_of).map(<[T]>::len).collect();
    let mut items = items.into_iter();
    lengths.into_iter().map(|length| items.by_ref().take(length).collect()).collect()
}

/// What tells one key from another, however the service writes its numbers.
fn identity(item: &Item, key: &[&str]) -> String {
    let mut identity = String::new();
    for name in key {
        let part = part_of(item, name);
        identity.reserve(part.len() + 8);
        // Writing to a text can not fail.
        let _ = write!(identity, "{}:{part}", part.len());
    }
    identity
}

/// A key attribute as text.
pub(crate) fn name_of(item: &Item, name: &str) -> String {
    part_of(item, name).into_owned()
}

fn part_of<'a>(item: &'a Item, name: &str) -> Cow<'a, str> {
    match item.get(name) {
        Some(AttributeValue::S(text)) => text.into(),
        Some(AttributeValue::N(number)) => Decimal::parse(number).map_or_else(
            || number.into(),
            |decimal| {
                let sign = if decimal.negative { "-" } else { "" };
                let integer = decimal.integer();
                integer.unwrap_or_else(|| format!("{sign}0.{}e{}", decimal.digits, decimal.point)).into()
            },
        ),
        Some(AttributeValue::B(bytes)) => STANDARD.encode(bytes).into(),
        _ => Cow::default(),
    }
}
