//! What is often built on Cassandra.

mod series;
mod time_series;

pub use series::{BucketEstimate, CassandraSeries, SeriesType};
pub use time_series::{CassandraTimeSeries, TimeSample};
