//! What a reading asks the service for.

use std::sync::Arc;

use aws_sdk_dynamodb::types::{AttributeValue, KeySchemaElement, KeyType, TableDescription};
use store_core::{Error, ErrorKind, Filter, Result};

use super::place::{self, Place};
use super::statement::{self, Select};
use super::{DynamoDbReader, Source};
use crate::admit::{admitting, untold};
use crate::batch::Backoff;
use crate::codec::{self, Item};
use crate::filter::{Expression, MAX_PATH, Native};
use crate::kv::{DynamoKvStore, MAX_KEY_BYTES};
use crate::kv_layout::key;
use crate::schema::{BESIDE, EXPIRES};
use crate::space::Space;
use crate::tables::{self, Keys};

/// The service's greatest number of segments.
pub(super) const MAX_SEGMENTS: usize = 1_000_000;

/// A reading as it is sent.
#[derive(Debug)]
pub(super) struct Plan {
    space: Arc<Space>,
    pub(super) ask: Ask,
    table: String,
    index: Option<String>,
    /// The table's keys; none for a statement whose reader names the field of the id.
    pub(super) keys: Option<Keys>,
    /// The attributes by which the service goes on.
    pub(super) place: Vec<String>,
    consistent: bool,
    page_size: Option<usize>,
    condition: Option<String>,
    filter: Option<String>,
    projection: Option<String>,
    expression: Expression,
    /// Nothing can be found.
    pub(super) nothing: bool,
}

/// The kind of request.
#[derive(Debug)]
pub(super) enum Ask {
    Query { descending: bool },
    Scan { segments: usize },
    Execute { statement: String, parameters: Vec<AttributeValue> },
}

/// What the service answers.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) items: Vec<Item>,
    /// Where the page after it begins.
    pub(super) next: Place,
}

impl Plan {
    pub(super) async fn of(reader: &DynamoDbReader) -> Result<Self> {
        check(reader)?;
        let space = Arc::clone(&reader.space);
        let mut plan = Self {
            consistent: reader.consistent.unwrap_or(space.config.consistent_reads),
            space,
            ask: Ask::Query { descending: reader.descending },
            table: String::new(),
            index: reader.index.clone(),
            keys: None,
            place: Vec::new(),
            page_size: reader.page_size,
            condition: None,
            filter: None,
            projection: None,
            expression: Expression::default(),
            nothing: false,
        };
        match &reader.source {
            Source::Collection(collection) => {
                DynamoKvStore::check(collection, [])?;
                let keys = tables::main(&plan.space).await?;
                plan.table.clone_from(&plan.space.main);
                plan.place = vec![keys.partition.clone(), keys.sort.clone()];
                plan.query(reader, &keys, AttributeValue::S(collection.clone()))?;
                let ours = |name: &str| codec::is_reserved(name, &keys);
                plan.filter(reader.filter.as_ref(), &ours, untold());
                plan.keys = Some(keys);
            }
            Source::Partition { table, key } => {
                let ranges = plan.look(table).await?;
                plan.query(reader, &ranges, key.clone().into())?;
                // The service takes no filter of the keys that it looks by.
                let ours =
                    |name: &str| name == ranges.partition || name == ranges.sort || name.starts_with(BESIDE);
                plan.filter(reader.filter.as_ref(), &ours, Native::Nothing);
                plan.projection(reader);
            }
            Source::Table(table) => {
                plan.look(table).await?;
                plan.ask = Ask::Scan { segments: reader.segments };
                plan.filter(reader.filter.as_ref(), &|name| name.starts_with(BESIDE), Native::Nothing);
                plan.projection(reader);
            }
            Source::Statement { text, parameters } => {
                let Select { table, index, parameters: wanted } = statement::read_only(text)?;
                if wanted != parameters.len() {
                    return Err(Error::invalid_input(format!(
                        "the PartiQL statement has {wanted} question marks and {} parameters; give one for each",
                        parameters.len()
                    )));
                }
                let parameters =
                    parameters.iter().cloned().map(codec::to_attribute).collect::<Result<_>>()?;
                plan.ask = Ask::Execute { statement: text.clone(), parameters };
                plan.index = index;
                if reader.id_field.is_none() || plan.index.is_some() {
                    plan.look(&table).await?;
                }
            }
        }
        Ok(plan)
    }

    /// Looks at a table; answers the keys by which a query of it, or of its index, looks.
    async fn look(&mut self, table: &str) -> Result<Keys> {
        let found = tables::describe(&self.space, table).await?;
        let found = found.ok_or_else(|| {
            Error::new(
                ErrorKind::NotFound,
                format!("there is no table {table:?}; check its name and the region"),
            )
        })?;
        table.clone_into(&mut self.table);
        let keys = keys_of(found.key_schema.as_deref());
        let mut ranges = keys.clone();
        if let Some(index) = &self.index {
            ranges = index_keys(&found, table, index, self.consistent)?;
        }
        for name in [&keys.partition, &keys.sort, &ranges.partition, &ranges.sort] {
            if !name.is_empty() && !self.place.contains(name) {
                self.place.push(name.clone());
            }
        }
        self.keys = Some(keys);
        Ok(ranges)
    }

    /// Asks for a partition.
    fn query(&mut self, reader: &DynamoDbReader, keys: &Keys, partition: AttributeValue) -> Result<()> {
        let name = self.expression.name(&keys.partition);
        let mut condition = format!("{name} = {}", self.expression.value(partition));
        if let Some(sort) = &reader.sort {
            if keys.sort.is_empty() {
                return Err(Error::invalid_input("there is no sort key by which a part could be read"));
            }
            condition = format!("{condition} AND {}", sort.condition(&keys.sort, &mut self.expression));
        }
        self.condition = Some(condition);
        Ok(())
    }

    /// Has the service leave out what it can tell does not match. `besides` is admitted in any case.
    fn filter(&mut self, filter: Option<&Filter>, ours: &dyn Fn(&str) -> bool, besides: Native) {
        let native = match filter.map(|filter| admitting(filter, &[], ours)) {
            None | Some(Native::Everything) => return,
            Some(native) => Native::any([native, besides]),
        };
        self.nothing = native == Native::Nothing;
        if native.fits() {
            self.filter = self.expression.text(&native);
        }
    }

    /// Has the service send only what is looked at.
    fn projection(&mut self, reader: &DynamoDbReader) {
        let mut paths: Vec<Vec<&str>> = Vec::new();
        for field in reader.looked_at() {
            // A name may have dots, and a path has.
            paths.push(vec![field]);
            let path: Vec<&str> = field.split('.').collect();
            if path.len() > MAX_PATH {
                return;
            }
            if !path.contains(&"") {
                paths.push(path);
            }
        }
        paths.extend(self.place.iter().map(|name| vec![name.as_str()]));
        // An index may not have it, and reading it from the table would cost.
        paths.extend(self.index.is_none().then(|| vec![EXPIRES]));
        paths.sort_unstable();
        paths.dedup();
        let all = paths.clone();
        // The service refuses a path and one below it.
        paths.retain(|path| !all.iter().any(|other| other.len() < path.len() && path.starts_with(other)));
        let mut projection = Vec::with_capacity(paths.len());
        for path in paths {
            let path: Vec<String> = path.into_iter().map(str::to_owned).collect();
            projection.push(self.expression.path(&path));
        }
        self.projection = Some(projection.join(","));
    }

    /// The parts that are read apart.
    pub(super) fn parts(&self) -> usize {
        match self.ask {
            Ask::Scan { segments } => segments,
            Ask::Query { .. } | Ask::Execute { .. } => 1,
        }
    }

    /// Where each part begins.
    pub(super) fn places(&self, reader: &DynamoDbReader) -> Result<Vec<Place>> {
        if let Some(cursor) = &reader.after {
            return place::decode(&reader.definition(), cursor, self.parts());
        }
        let mut places = vec![Place::Begin; self.parts()];
        if let (Some(id), Source::Collection(collection), Some(keys)) =
            (&reader.after_id, &reader.source, &self.keys)
        {
            places = vec![Place::after(&key(keys, collection, id), &self.place)];
        }
        Ok(places)
    }

    /// A page of a part, from this place on; at most so many items are looked at. When the service asks for a slower
    /// pace, it is asked again until the time of a call is over.
    pub(super) async fn fetch(&self, part: usize, from: &Place, most: Option<usize>) -> Result<Answer> {
        let most = most.into_iter().chain(self.page_size).min();
        let most = most.map(|most| i32::try_from(most).unwrap_or(i32::MAX));
        let mut backoff = Backoff::new(self.space.config.operation_timeout);
        let mut throttled = None;
        loop {
            match (backoff.within(self.ask_once(part, from, most)).await, throttled) {
                (Err(error), _) if error.kind() == ErrorKind::Throttled => {
                    if !backoff.pause(false).await {
                        return Err(error);
                    }
                    throttled = Some(error);
                }
                // The pauses have taken the time.
                (Err(error), Some(throttled)) if error.kind() == ErrorKind::Timeout => return Err(throttled),
                (answer, _) => return answer,
            }
        }
    }

    async fn ask_once(&self, part: usize, from: &Place, most: Option<i32>) -> Result<Answer> {
        let client = self.space.client()?;
        let (names, values) = (self.expression.names(), self.expression.values());
        let number = |number: usize| i32::try_from(number).ok();
        match &self.ask {
            Ask::Query { descending } => {
                let query = client
                    .query()
                    .table_name(&self.table)
                    .set_index_name(self.index.clone())
                    .set_key_condition_expression(self.condition.clone())
                    .set_filter_expression(self.filter.clone())
                    .set_projection_expression(self.projection.clone())
                    .set_expression_attribute_names(names)
                    .set_expression_attribute_values(values)
                    .scan_index_forward(!descending)
                    .consistent_read(self.consistent)
                    .set_limit(most)
                    .set_exclusive_start_key(from.key()?);
                let answer = self.space.call(query.send()).await?;
                Ok(Answer {
                    items: answer.items.unwrap_or_default(),
                    next: Place::next(answer.last_evaluated_key),
                })
            }
            Ask::Scan { segments } => {
                let scan = client
                    .scan()
                    .table_name(&self.table)
                    .set_index_name(self.index.clone())
                    .set_filter_expression(self.filter.clone())
                    .set_projection_expression(self.projection.clone())
                    .set_expression_attribute_names(names)
                    .set_expression_attribute_values(values)
                    .consistent_read(self.consistent)
                    .set_total_segments(number(*segments))
                    .set_segment(number(part))
                    .set_limit(most)
                    .set_exclusive_start_key(from.key()?);
                let answer = self.space.call(scan.send()).await?;
                Ok(Answer {
                    items: answer.items.unwrap_or_default(),
                    next: Place::next(answer.last_evaluated_key),
                })
            }
            Ask::Execute { statement, parameters } => {
                let execute = client
                    .execute_statement()
                    .statement(statement)
                    .set_parameters((!parameters.is_empty()).then(|| parameters.clone()))
                    .consistent_read(self.consistent)
                    .set_limit(most)
                    .set_next_token(from.token());
                let answer = self.space.call(execute.send()).await?;
                Ok(Answer { items: answer.items.unwrap_or_default(), next: Place::page(answer.next_token) })
            }
        }
    }
}

/// What the caller can get wrong.
fn check(reader: &DynamoDbReader) -> Result<()> {
    let refuse = |message: &str| Err(Error::invalid_input(message));
    let statement = matches!(reader.source, Source::Statement { .. });
    if reader.page_size == Some(0) {
        return refuse("the page size is 0; it must be at least 1");
    }
    if !(1..=MAX_SEGMENTS).contains(&reader.segments) {
        return refuse("a table is read in 1 to 1,000,000 segments");
    }
    if reader.segments > 1 && !matches!(reader.source, Source::Table(_)) {
        return refuse("only a whole table is read in segments; leave with_segments out");
    }
    if (reader.sort.is_some() || reader.descending)
        && (statement || matches!(reader.source, Source::Table(_)))
    {
        return refuse("only a partition has an order; say it in the statement, or read a partition");
    }
    if reader.index.is_some() && (statement || matches!(reader.source, Source::Collection(_))) {
        return refuse("an index is read by partition_reader or table_reader, or named in a statement");
    }
    if reader.after.is_some() && reader.after_id.is_some() {
        return refuse("there are two places to begin after; give one");
    }
    if let Some(id) = &reader.after_id {
        if !matches!(reader.source, Source::Collection(_)) {
            return refuse(
                "only a collection is read by its ids; go on with the place that read_resumable gave",
            );
        }
        store_core::kit::check::non_empty("id", id)?;
        store_core::kit::check::within("id", id, id.len(), MAX_KEY_BYTES)?;
    }
    if let Source::Partition { table, .. } | Source::Table(table) = &reader.source
        && table.is_empty()
    {
        return refuse("the table has no name");
    }
    if let Some(filter) = &reader.filter {
        filter.validate()?;
    }
    if reader.looked_at().any(str::is_empty) { refuse("a field has no name") } else { Ok(()) }
}

fn keys_of(schema: Option<&[KeySchemaElement]>) -> Keys {
    let key = |kind: &KeyType| {
        let found = schema.unwrap_or_default().iter().find(|element| element.key_type == *kind);
        found.map(|found| found.attribute_name.clone()).unwrap_or_default()
    };
    Keys { partition: key(&KeyType::Hash), sort: key(&KeyType::Range) }
}

/// The keys of an index; refused where it is not there, or can not be read as it is to be.
fn index_keys(found: &TableDescription, table: &str, index: &str, consistent: bool) -> Result<Keys> {
    let global = found.global_secondary_indexes.iter().flatten();
    let global = global.map(|index| (index.index_name.as_deref(), index.key_schema.as_deref(), true));
    let local = found.local_secondary_indexes.iter().flatten();
    let local = local.map(|index| (index.index_name.as_deref(), index.key_schema.as_deref(), false));
    let all: Vec<_> = global.chain(local).collect();
    let Some((_, schema, global)) = all.iter().find(|(name, ..)| *name == Some(index)) else {
        let names: Vec<&str> = all.iter().filter_map(|(name, ..)| *name).collect();
        let there =
            if names.is_empty() { "it has none".to_owned() } else { format!("it has {}", names.join(", ")) };
        let message = format!("the table {table:?} has no index {index:?}; {there}");
        return Err(Error::new(ErrorKind::NotFound, message));
    };
    if *global && consistent {
        return Err(Error::invalid_input(format!(
            "the index {index:?} is a global one, which can not be read consistently; say with_consistent_reads(false)"
        )));
    }
    Ok(keys_of(*schema))
}
