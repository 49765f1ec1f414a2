//! The service and how to reach it.

use aws_config::{BehaviorVersion, Region};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::Credentials;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Deserializer};
use store_core::Result;

use super::refused;

/// The service and how to reach it. What is `None` is looked for where Amazon's tools look: in the environment, the
/// shared files of `~/.aws`, the container or the machine.
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
    /// Where the service is if not at Amazon's address: `http://127.0.0.1:8000` for DynamoDB Local.
    pub endpoint_url: Option<String>,
    /// The id of a static access key; its secret must be given too.
    pub access_key_id: Option<String>,
    /// The secret of the access key.
    #[serde(deserialize_with = "optional_secret")]
    pub secret_access_key: Option<SecretString>,
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

    /// Sets a static access key.
    #[must_use]
    pub fn with_keys(mut self, id: impl Into<String>, secret: impl Into<SecretString>) -> Self {
        self.access_key_id = Some(id.into());
        self.secret_access_key = Some(secret.into());
        self
    }

    /// A client of the driver's.
    pub(super) async fn client(&self) -> Result<Client> {
        let http = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12()).http_client(http);
        if let Some(region) = &self.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(url) = &self.endpoint_url {
            loader = loader.endpoint_url(url);
        }
        if let (Some(id), Some(secret)) = (&self.access_key_id, &self.secret_access_key) {
            let keys = Credentials::new(id, secret.expose_secret(), None, None, "nodestore");
            loader = loader.credentials_provider(keys);
        }
        let shared = loader.load().await;
        if shared.region().is_none() {
            return Err(refused("no region is set; write dynamodb://region/table, or set AWS_REGION"));
        }
        Ok(Client::new(&shared))
    }
}

fn optional_secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SecretString>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(SecretString::from))
}
