//! How tables are made.

use serde::Deserialize;
use store_core::Result;

use super::refused;

/// How tables are made, where the configuration says that they are. What exists is never changed.
///
/// ```
/// use store_dynamodb::{DynamoDbConfig, DynamoDbTableOptions};
///
/// let tables = DynamoDbTableOptions::default().with_provisioned(5, 5).with_deletion_protection(true);
/// let config = DynamoDbConfig::new("app").with_create(true).with_tables(tables);
/// # let _ = config;
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct DynamoDbTableOptions {
    /// What is paid for; default [`OnDemand`](DynamoDbBilling::OnDemand). In a URL `store.billing`.
    pub billing: DynamoDbBilling,
    /// Read capacity units of a provisioned table. In a URL `store.read_units`.
    pub read_units: Option<i64>,
    /// Write capacity units of a provisioned table. In a URL `store.write_units`.
    pub write_units: Option<i64>,
    /// Whether a table can not be deleted before somebody allows it; then
    /// [`drop_namespace`](store_core::Backend::drop_namespace) fails too. Default `false`. In a URL
    /// `store.deletion_protection`.
    pub deletion_protection: bool,
}

/// What is paid for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DynamoDbBilling {
    /// Each request. In a URL `on_demand`.
    #[default]
    OnDemand,
    /// Capacity, used or not. In a URL `provisioned`.
    Provisioned,
}

impl DynamoDbTableOptions {
    /// Pays for capacity units: a read of 4 KB and a write of 1 KB each second.
    #[must_use]
    pub fn with_provisioned(mut self, read_units: i64, write_units: i64) -> Self {
        self.billing = DynamoDbBilling::Provisioned;
        self.read_units = Some(read_units);
        self.write_units = Some(write_units);
        self
    }

    /// Says whether a table can not be deleted before somebody allows it.
    #[must_use]
    pub fn with_deletion_protection(mut self, protection: bool) -> Self {
        self.deletion_protection = protection;
        self
    }

    pub(super) fn check(&self) -> Result<()> {
        let units = [self.read_units, self.write_units];
        match self.billing {
            DynamoDbBilling::OnDemand if units.iter().any(Option::is_some) => Err(refused(
                "capacity units are given, but the table is paid by request; set store.billing=provisioned",
            )),
            DynamoDbBilling::Provisioned if units.iter().any(|units| units.is_none_or(|units| units < 1)) => {
                Err(refused("a provisioned table needs store.read_units and store.write_units, 1 or more"))
            }
            _ => Ok(()),
        }
    }
}
