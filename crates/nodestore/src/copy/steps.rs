//! The two steps of every part: copying page by page, and comparing both stores.

use std::sync::Arc;

use async_trait::async_trait;
use futures::TryStreamExt as _;

use super::job::Job;
use super::part::{Page, Part, Side};
use super::report::{Compared, CopiedPart, digest};
use super::watch::{CopyEvent, CopyStep, Watch};
use crate::Result;

/// Pages on their way at the same time.
const IN_FLIGHT: usize = 4;

/// A part, whatever its records are.
#[async_trait]
pub(super) trait AnyPart: std::fmt::Debug + Send + Sync {
    fn name(&self) -> &str;
    async fn check(&self) -> Result<()>;
    async fn is_empty(&self, side: Side) -> Result<bool>;
    async fn count(&self, side: Side) -> Result<usize>;
    /// Writes what the job does not say is written.
    async fn copy(&self, job: &mut Job, watch: &Watch) -> Result<()>;
    /// Reads both stores; `was_empty` says whether all that the other one holds must be of this copy.
    async fn compare(&self, was_empty: bool, watch: &Watch) -> Result<CopiedPart>;
}

/// A part that can be shared by the pages on their way.
#[derive(Debug)]
pub(super) struct Steps<P>(Arc<P>);

impl<P: Part> Steps<P> {
    pub(super) fn of(part: P) -> Box<dyn AnyPart> {
        Box::new(Self(Arc::new(part)))
    }
}

#[async_trait]
impl<P: Part> AnyPart for Steps<P> {
    fn name(&self) -> &str {
        self.0.name()
    }

    async fn check(&self) -> Result<()> {
        self.0.check().await
    }

    async fn is_empty(&self, side: Side) -> Result<bool> {
        Ok(self.0.pages(side, None).try_next().await?.is_none())
    }

    async fn count(&self, side: Side) -> Result<usize> {
        self.0.count(side).await
    }

    async fn copy(&self, job: &mut Job, watch: &Watch) -> Result<()> {
        let place = job.place(self.name());
        if place.done {
            return Ok(());
        }
        let total = self.0.total().await?;
        let (name, done) = (self.name(), place.records);
        watch.tell(CopyEvent::Part { name, step: CopyStep::Copying, done, total });
        self.0.prepare().await?;
        let part = Arc::clone(&self.0);
        let mut writes = self
            .0
            .pages(Side::From, place.after)
            .map_ok(move |page| write(Arc::clone(&part), page))
            .try_buffered(IN_FLIGHT);
        // Answers come in the order of the pages, so a mark stands for all before it.
        while let Some((records, mark)) = writes.try_next().await? {
            job.reached(name, mark, records)?;
            watch.tell(CopyEvent::Records(records));
            watch.go_on()?;
        }
        job.finish(name)
    }

    async fn compare(&self, was_empty: bool, watch: &Watch) -> Result<CopiedPart> {
        let total = self.0.total().await?;
        watch.tell(CopyEvent::Part { name: self.name(), step: CopyStep::Comparing, done: 0, total });
        let part = Arc::clone(&self.0);
        let mut pages = self
            .0
            .pages(Side::From, None)
            .map_ok(move |page| compare(Arc::clone(&part), page, was_empty))
            .try_buffered(IN_FLIGHT);
        let mut all = Compared::default();
        while let Some((records, compared)) = pages.try_next().await? {
            all.join(compared);
            watch.tell(CopyEvent::Records(records));
            watch.go_on()?;
        }
        let found = if was_empty { Some(self.0.count(Side::To).await?) } else { None };
        Ok(all.into_part(self.name(), found))
    }
}

fn weight<P: Part>(page: &Page<P::Record>) -> usize {
    page.records.iter().map(P::weight).sum()
}

async fn write<P: Part>(part: Arc<P>, page: Page<P::Record>) -> Result<(usize, String)> {
    let records = weight::<P>(&page);
    part.write(page.records).await?;
    Ok((records, page.mark))
}

async fn compare<P: Part>(part: Arc<P>, page: Page<P::Record>, was_empty: bool) -> Result<(usize, Compared)> {
    let records = weight::<P>(&page);
    let found = part.find(&page.records).await?;
    let mut compared = Compared::default();
    for (record, found) in page.records.into_iter().zip(found) {
        let mut from = of::<P>(&record)?;
        let mut to = found.as_ref().map(of::<P>).transpose()?;
        let key = P::key(&record).to_owned();
        if to != Some(from) {
            let Some(expected) = part.expected(record).await? else {
                compared.left_out += 1;
                continue;
            };
            from = of::<P>(&expected)?;
            if !was_empty && found.is_some_and(|found| P::is_within(&expected, &found)) {
                to = Some(from);
            }
        }
        compared.add(&key, from, to);
    }
    Ok((records, compared))
}

fn of<P: Part>(record: &P::Record) -> Result<u128> {
    Ok(digest(P::key(record), &P::content(record)?))
}
