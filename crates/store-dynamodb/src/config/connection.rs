//! The service and how to reach it.

use std::time::Duration;

use aws_config::retry::{RetryConfig, RetryMode};
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::Credentials;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use store_core::Result;
use store_core::kit::settings;

use crate::attempts::{InTheWay, Watch};

use super::refused;

/// How long making a connection may take when nothing else is said.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long one request may take when nothing else is said; the service answers the largest within a second.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a request is sent at most when nothing else is said.
const ATTEMPTS: u32 = 5;

/// The service and how to reach it. What is `None` is looked for where Amazon's tools look: in the environment, in the
/// files `~/.aws/config` and `~/.aws/credentials`, and at the container's or the machine's own service.
///
/// ```
/// use store_dynamodb::DynamoDbConnection;
///
/// let connection = DynamoDbConnection::default()
///     .with_region("eu-central-1")
///     .with_keys("AKIDEXAMPLE", "s3cret");
/// assert!(!format!("{connection:?}").contains("s3cret"));
/// ```
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct DynamoDbConnection {
    /// The region: `eu-central-1`. In a URL the host.
    pub region: Option<String>,
    /// Where the service is, if not at Amazon's address of the region: `http://127.0.0.1:8000` for DynamoDB Local. TLS
    /// is used unless it begins with `http://`. In a URL `endpoint_url`.
    pub endpoint_url: Option<String>,
    /// The profile of the shared files that region and credentials are taken from; default `default`. In a URL
    /// `profile`.
    pub profile: Option<String>,
    /// The id of a static access key; its secret must be given too. In a URL before an `@`: `id:secret@region`, each
    /// with `%XX` for what is no letter and no digit.
    pub access_key_id: Option<String>,
    /// The secret of the access key.
    #[serde(deserialize_with = "settings::optional_secret")]
    pub secret_access_key: Option<SecretString>,
    /// The token that belongs to a temporary access key. In a URL `session_token`.
    #[serde(deserialize_with = "settings::optional_secret")]
    pub session_token: Option<SecretString>,
    /// Whether the region's FIPS endpoint is used; default `false`. In a URL `use_fips`.
    pub use_fips: Option<bool>,
    /// Whether the region's endpoint with IPv4 and IPv6 is used; default `false`. In a URL `use_dual_stack`.
    pub use_dual_stack: Option<bool>,
    /// How long making a connection may take; default 3 s. In a URL `connect_timeout_ms`.
    #[serde(rename = "connect_timeout_ms", deserialize_with = "settings::from_optional_millis")]
    pub connect_timeout: Option<Duration>,
    /// How long the service may take until its answer begins; default: as long as the request. In a URL
    /// `read_timeout_ms`.
    #[serde(rename = "read_timeout_ms", deserialize_with = "settings::from_optional_millis")]
    pub read_timeout: Option<Duration>,
    /// How long one request may take before it is sent again; default 10 s. In a URL `attempt_timeout_ms`.
    #[serde(rename = "attempt_timeout_ms", deserialize_with = "settings::from_optional_millis")]
    pub attempt_timeout: Option<Duration>,
    /// How requests are sent again that were throttled, lost, or met a fault of the service; default
    /// [`Standard`](DynamoDbRetryMode::Standard). In a URL `retry_mode`.
    pub retry_mode: Option<DynamoDbRetryMode>,
    /// How often a request is sent at most, the first time included; default 5. In a URL `max_attempts`.
    pub max_attempts: Option<u32>,
}

/// How requests are sent again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum DynamoDbRetryMode {
    /// After a wait that grows, with jitter. In a URL `standard`.
    #[default]
    Standard,
    /// Besides, all requests of the store go slower while the service throttles. In a URL `adaptive`.
    Adaptive,
}

impl DynamoDbConnection {
    /// Sets the region.
    #[must_use]
    pub fn with_region(mut self, region: impl Into<String>) -> Self {
        self.region = Some(region.into());
        self
    }

    /// Sets where the service is.
    #[must_use]
    pub fn with_endpoint_url(mut self, url: impl Into<String>) -> Self {
        self.endpoint_url = Some(url.into());
        self
    }

    /// Sets the profile of the shared files.
    #[must_use]
    pub fn with_profile(mut self, profile: impl Into<String>) -> Self {
        self.profile = Some(profile.into());
        self
    }

    /// Sets a static access key.
    #[must_use]
    pub fn with_keys(mut self, id: impl Into<String>, secret: impl Into<SecretString>) -> Self {
        self.access_key_id = Some(id.into());
        self.secret_access_key = Some(secret.into());
        self
    }

    /// Sets the token that belongs to a temporary access key.
    #[must_use]
    pub fn with_session_token(mut self, token: impl Into<SecretString>) -> Self {
        self.session_token = Some(token.into());
        self
    }

    /// Says whether the region's FIPS endpoint is used.
    #[must_use]
    pub fn with_use_fips(mut self, fips: bool) -> Self {
        self.use_fips = Some(fips);
        self
    }

    /// Says whether the region's endpoint with IPv4 and IPv6 is used.
    #[must_use]
    pub fn with_use_dual_stack(mut self, dual_stack: bool) -> Self {
        self.use_dual_stack = Some(dual_stack);
        self
    }

    /// Sets how long making a connection may take.
    #[must_use]
    pub fn with_connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = Some(timeout);
        self
    }

    /// Sets how long the service may take until its answer begins.
    #[must_use]
    pub fn with_read_timeout(mut self, timeout: Duration) -> Self {
        self.read_timeout = Some(timeout);
        self
    }

    /// Sets how long one request may take before it is sent again.
    #[must_use]
    pub fn with_attempt_timeout(mut self, timeout: Duration) -> Self {
        self.attempt_timeout = Some(timeout);
        self
    }

    /// Says how requests are sent again, and how often they are sent at most.
    #[must_use]
    pub fn with_retries(mut self, mode: DynamoDbRetryMode, max_attempts: u32) -> Self {
        self.retry_mode = Some(mode);
        self.max_attempts = Some(max_attempts);
        self
    }

    /// Refuses settings that can not be, or contradict each other.
    pub(super) fn check(&self) -> Result<()> {
        match (&self.access_key_id, &self.secret_access_key) {
            (Some(_), None) => {
                return Err(refused("an access key's id is given without its secret; give both, or neither"));
            }
            (None, Some(_)) => {
                return Err(refused("an access key's secret is given without its id; give both, or neither"));
            }
            (None, None) if self.session_token.is_some() => {
                return Err(refused("a session token is given without the access key that it belongs to"));
            }
            _ => {}
        }
        if self.access_key_id.is_some() && self.profile.is_some() {
            return Err(refused("both an access key and a profile are given; keep one of them"));
        }
        if let Some(url) = &self.endpoint_url {
            let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
            if !rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(['@', '?', '#'])) {
                return Err(refused(
                    "endpoint_url must be http://host:port or https://host, without a user: keys stand before the region",
                ));
            }
            if self.use_fips == Some(true) || self.use_dual_stack == Some(true) {
                return Err(refused(
                    "use_fips and use_dual_stack choose among Amazon's own endpoints; leave them out, or endpoint_url",
                ));
            }
        }
        if let Some(region) = &self.region {
            let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            if region.is_empty() || !region.chars().all(legal) {
                return Err(refused(
                    "the region can not be read; write dynamodb://eu-central-1/table, and name a server of your own by \
                     endpoint_url: dynamodb://eu-central-1/table?endpoint_url=http://127.0.0.1:8000",
                ));
            }
        }
        let zero = |limit: Option<Duration>| limit.is_some_and(|limit| limit.is_zero());
        if zero(self.connect_timeout) || zero(self.read_timeout) || zero(self.attempt_timeout) {
            return Err(refused("a timeout is zero, so no call could succeed"));
        }
        if self.max_attempts == Some(0) {
            return Err(refused("max_attempts is 0, so nothing would be sent; 1 is to send once"));
        }
        Ok(())
    }

    /// A client of the driver's. Nothing is sent, unless the region must be asked of the machine.
    pub(super) async fn client(&self) -> Result<Client> {
        let http = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
        let retries = match self.retry_mode.unwrap_or_default() {
            DynamoDbRetryMode::Standard => RetryConfig::standard(),
            DynamoDbRetryMode::Adaptive => RetryConfig::standard().with_retry_mode(RetryMode::Adaptive),
        };
        let mut timeouts = TimeoutConfig::builder()
            .connect_timeout(self.connect_timeout.unwrap_or(CONNECT_TIMEOUT))
            .operation_attempt_timeout(self.attempt_timeout.unwrap_or(ATTEMPT_TIMEOUT));
        if let Some(limit) = self.read_timeout {
            timeouts = timeouts.read_timeout(limit);
        }
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .http_client(http)
            .retry_config(retries.with_max_attempts(self.max_attempts.unwrap_or(ATTEMPTS)))
            .timeout_config(timeouts.build());
        if let Some(region) = &self.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(url) = &self.endpoint_url {
            loader = loader.endpoint_url(url);
        }
        if let Some(profile) = &self.profile {
            loader = loader.profile_name(profile);
        }
        if let Some(fips) = self.use_fips {
            loader = loader.use_fips(fips);
        }
        if let Some(dual_stack) = self.use_dual_stack {
            loader = loader.use_dual_stack(dual_stack);
        }
        if let (Some(id), Some(secret)) = (&self.access_key_id, &self.secret_access_key) {
            let token = self.session_token.as_ref().map(|token| token.expose_secret().to_owned());
            loader = loader.credentials_provider(Credentials::new(
                id,
                secret.expose_secret(),
                token,
                None,
                "nodestore",
            ));
        }
        let shared = loader.load().await;
        if shared.region().is_none() {
            return Err(refused(
                "no region is set; write dynamodb://eu-central-1/table, or set AWS_REGION, or a region in the profile",
            ));
        }
        let config =
            aws_sdk_dynamodb::config::Builder::from(&shared).interceptor(Watch).retry_classifier(InTheWay);
        Ok(Client::from_conf(config.build()))
    }
}
