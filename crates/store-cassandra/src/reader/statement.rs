//! A statement that someone wrote.

use store_core::{Error, Result};

use super::CassandraReader;
use super::pages::Part;
use super::place::Page;
use super::table::{Table, columns_of};
use crate::cells::encode;
use crate::tool::Select;

/// A statement, ready to be read.
#[derive(Debug)]
pub(super) struct Statement {
    pub(super) part: Part,
    /// The columns that the id is made of.
    pub(super) id: Vec<String>,
}

impl Statement {
    /// Has the server look at a statement, and holds it against what is wanted of it. `from` is the page that it begins
    /// with.
    pub(super) async fn of(
        reader: &CassandraReader,
        text: &str,
        parameters: &[serde_json::Value],
        from: Option<&Page>,
    ) -> Result<Self> {
        Select::parse(text)?;
        // Cassandra takes no comment that ends with the text.
        let text = format!("{text}\n");
        let described = reader.space.driver().describe(&text).await?;
        if described.markers.len() != parameters.len() {
            return Err(Error::invalid_input(format!(
                "the CQL statement has {} question marks and {} parameters; give one for each",
                described.markers.len(),
                parameters.len()
            )));
        }
        let mut values = Vec::with_capacity(parameters.len());
        for (place, (marker, value)) in described.markers.iter().zip(parameters).enumerate() {
            let what = format!("the parameter {} ({})", place + 1, marker.name);
            values.push(encode(&what, &marker.kind, value)?);
        }
        let names: Vec<&str> = described.columns.iter().map(|column| column.name.as_str()).collect();
        columns_of(reader, "the answer to the CQL statement", &names)?;
        let id = match (&reader.id_field, described.tables.as_slice()) {
            (Some(field), _) => vec![field.clone()],
            (None, [(keyspace, table)]) => {
                let table = Table::look(&reader.space, keyspace, table).await?;
                let key: Vec<String> = table.key().map(str::to_owned).collect();
                if let Some(missing) = key.iter().find(|name| !names.contains(&name.as_str())) {
                    return Err(Error::invalid_input(format!(
                        "the CQL statement does not select the column {missing:?}, which ids are made of; select it, or \
                         say with_id_field which column is the id"
                    )));
                }
                key
            }
            (None, _) => {
                return Err(Error::invalid_input("say with_id_field which column of the answer is the id"));
            }
        };
        let part = Part {
            statement: text.into(),
            values,
            upto: i64::MAX,
            from: from.map(Page::state).transpose()?.flatten(),
            first: from.map_or(0, Page::rows),
        };
        Ok(Self { part, id })
    }
}
