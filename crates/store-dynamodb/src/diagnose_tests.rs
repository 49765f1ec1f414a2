use aws_sdk_dynamodb::types::{BillingModeSummary, ProvisionedThroughputDescription, TableStatus};

use super::*;

#[test]
fn a_table_is_told_in_a_line() {
    let paid = BillingModeSummary::builder().billing_mode(BillingMode::PayPerRequest).build();
    let units =
        ProvisionedThroughputDescription::builder().read_capacity_units(5).write_capacity_units(6).build();
    let table = TableDescription::builder()
        .table_status(TableStatus::Active)
        .item_count(7)
        .table_size_bytes(8)
        .provisioned_throughput(units);
    let provisioned = table.clone().build();
    assert_eq!(
        of_table("app", &provisioned),
        "app: active, 5 read and 6 write units, about 7 items of 8 bytes"
    );
    let by_request = table.billing_mode_summary(paid).build();
    assert_eq!(of_table("app", &by_request), "app: active, paid by request, about 7 items of 8 bytes");
}

#[test]
fn encryption_matters_between_machines() {
    let at = |url: &str| plain(&DynamoDbConnection::default().with_endpoint_url(url));
    assert!(at("http://10.0.0.1:8000").is_some());
    assert!(at("http://127.0.0.1:8000").is_none());
    assert!(at("https://10.0.0.1").is_none());
    assert!(plain(&DynamoDbConnection::default()).is_none());
}

#[test]
fn keys_of_another_shape_are_found() {
    assert!(of_keys("app", &TableDescription::builder().build()).is_some());
}
