//! The server's URL: our own settings taken out, the fields of the configuration put in, the rest left to the
//! driver. No message shows any part that may be a password.

use mongodb::error::ErrorKind as Driver;
use mongodb::options::{Acknowledgment, ClientOptions, DriverInfo, Tls};
use secrecy::{ExposeSecret as _, SecretString};
use std::path::Path;
use std::time::Duration;
use store_core::kit::{settings, url_text};
use store_core::{Error, Result};

use super::{MongoConfig, MongoConnection, OPERATION_TIMEOUT, refused};
use crate::error::{from_driver, timed_out};

/// Settings of ours in a URL, in order.
const OWN: [&str; 13] = [
    "store.chat_collection",
    "store.chat_ttl_secs",
    "store.create",
    "store.large_values",
    "store.namespace",
    "store.operation_timeout_ms",
    "store.search",
    "store.search_exact",
    "store.search_index_wait_secs",
    "store.search_oversampling",
    "store.text_index",
    "store.vector_collection",
    "store.vector_index",
];
/// Settings of the driver's URL, in the spelling of its documentation.
const DRIVERS: [&str; 42] = [
    "appName",
    "authMechanism",
    "authMechanismProperties",
    "authSource",
    "compressors",
    "connectTimeoutMS",
    "directConnection",
    "enableOverloadRetargeting",
    "heartbeatFrequencyMS",
    "journal",
    "loadBalanced",
    "localThresholdMS",
    "maxAdaptiveRetries",
    "maxConnecting",
    "maxIdleTimeMS",
    "maxPoolSize",
    "maxStalenessSeconds",
    "minPoolSize",
    "readConcernLevel",
    "readPreference",
    "readPreferenceTags",
    "replicaSet",
    "retryReads",
    "retryWrites",
    "serverMonitoringMode",
    "serverSelectionTimeoutMS",
    "socketTimeoutMS",
    "srvMaxHosts",
    "srvServiceName",
    "ssl",
    "timeoutMS",
    "tls",
    "tlsAllowInvalidCertificates",
    "tlsCAFile",
    "tlsCertificateKeyFile",
    "tlsCertificateKeyFilePassword",
    "tlsInsecure",
    "uuidRepresentation",
    "w",
    "waitQueueTimeoutMS",
    "wTimeoutMS",
    "zlibCompressionLevel",
];
/// Values that are never shown.
const SECRET: [&str; 2] = ["tlsCertificateKeyFilePassword", "authMechanismProperties"];
/// Settings that the driver does not have, and that limit a whole call here.
const CALL_LIMITS: [&str; 2] = ["socketTimeoutMS", "timeoutMS"];
/// What the server's log calls us when nobody says otherwise.
const APP_NAME: &str = "nodestore";
/// Most connections to a server, as in MongoDB's other drivers. The Rust driver's 10 are too few: calls that wait for
/// the documents of a transaction hold theirs, and with none left the transaction can not be committed.
const POOL_SIZE: u32 = 100;

/// The error of a setting that nobody knows.
pub(super) fn unknown(key: &str) -> Error {
    settings::unknown(key, &OWN, &DRIVERS)
}

/// Refuses a URL that the driver could not read.
pub(super) fn check(url: &str) -> Result<()> {
    Parts::read(url).map(|_| ())
}

/// The parts of a URL, each as it stands there.
struct Parts {
    srv: bool,
    user: Option<String>,
    hosts: String,
    database: String,
    query: Vec<(String, String)>,
}

impl Parts {
    fn read(url: &str) -> Result<Self> {
        let (scheme, rest) = url.split_once("://").unwrap_or((url, ""));
        let srv = match scheme.to_ascii_lowercase().as_str() {
            "mongodb" => false,
            "mongodb+srv" => true,
            _ => return Err(refused("the URL begins neither with mongodb:// nor with mongodb+srv://")),
        };
        let (user, place, query) = url_text::split(rest).map_err(|error| refused(error.message()))?;
        user.map_or(Ok(()), check_user)?;
        let (hosts, database) = place.split_once('/').unwrap_or((place, ""));
        check_hosts(hosts, srv)?;
        url_text::decode(database).map_err(|error| refused(error.message()))?;
        Ok(Self {
            srv,
            user: user.map(str::to_owned),
            hosts: hosts.to_owned(),
            database: database.to_owned(),
            query: query.split('&').filter(|pair| !pair.is_empty()).map(read_pair).collect::<Result<_>>()?,
        })
    }

    /// The parts that the fields say; the hosts are theirs alone.
    fn of_hosts(connection: &MongoConnection) -> Result<Self> {
        let hosts = connection.hosts.join(",");
        if hosts.contains(['@', '?', '#']) || hosts.contains('/') {
            return Err(refused(
                "a host has a / ? # or @ in it; give names or addresses, each with :port or without",
            ));
        }
        check_hosts(&hosts, connection.srv)?;
        Ok(Self { srv: connection.srv, user: None, hosts, database: String::new(), query: Vec::new() })
    }

    fn get(&self, key: &str) -> Option<&str> {
        let found = self.query.iter().find(|(name, _)| name.eq_ignore_ascii_case(key));
        found.map(|(_, value)| value.as_str())
    }

    /// Puts in a field; what the URL says already must be the same.
    fn set(&mut self, key: &str, value: &str) -> Result<()> {
        let encoded = url_text::encode(value);
        let Some(old) = self.get(key) else {
            self.query.push((key.to_owned(), encoded));
            return Ok(());
        };
        if url_text::decode(old).is_ok_and(|old| old == value) {
            return Ok(());
        }
        Err(refused(format!("{key} is given twice, in the URL and beside it, and differs; keep one of them")))
    }

    fn set_user(&mut self, connection: &MongoConnection) -> Result<()> {
        let Some(user) = &connection.user else {
            if connection.password.is_some() {
                return Err(refused("a password is given without a user"));
            }
            return Ok(());
        };
        if self.user.is_some() {
            return Err(refused("the user is given twice, in the URL and beside it; keep one of them"));
        }
        let mut text = url_text::encode(user);
        if let Some(password) = &connection.password {
            text.push(':');
            text.push_str(&url_text::encode(password.expose_secret()));
        }
        self.user = Some(text);
        Ok(())
    }

    fn set_fields(&mut self, connection: &MongoConnection) -> Result<()> {
        let path = |path: &Path| path.to_string_lossy().into_owned();
        let millis = |time: Duration| time.as_millis().to_string();
        let compressors: Vec<&str> = connection.compressors.iter().map(|one| one.as_str()).collect();
        let fields = [
            ("authSource", connection.auth_source.clone()),
            ("authMechanism", connection.auth_mechanism.map(|one| one.as_str().to_owned())),
            ("tls", connection.tls.map(|tls| tls.to_string())),
            ("tlsCAFile", connection.tls_ca_file.as_deref().map(path)),
            ("tlsCertificateKeyFile", connection.tls_certificate_file.as_deref().map(path)),
            (
                "tlsCertificateKeyFilePassword",
                connection.tls_certificate_password.as_ref().map(|text| text.expose_secret().to_owned()),
            ),
            ("replicaSet", connection.replica_set.clone()),
            ("directConnection", connection.direct.map(|direct| direct.to_string())),
            ("minPoolSize", connection.min_pool_size.map(|size| size.to_string())),
            ("maxPoolSize", connection.max_pool_size.map(|size| size.to_string())),
            ("connectTimeoutMS", connection.connect_timeout.map(millis)),
            ("serverSelectionTimeoutMS", connection.server_selection_timeout.map(millis)),
            ("appName", connection.app_name.clone()),
            ("compressors", (!compressors.is_empty()).then(|| compressors.join(","))),
            ("readPreference", connection.read_preference.map(|one| one.as_str().to_owned())),
            ("readConcernLevel", connection.read_concern.map(|one| one.as_str().to_owned())),
            ("w", connection.write_concern.as_ref().map(ToString::to_string)),
            ("journal", connection.journal.map(|journal| journal.to_string())),
            ("retryReads", connection.retry_reads.map(|retry| retry.to_string())),
            ("retryWrites", connection.retry_writes.map(|retry| retry.to_string())),
        ];
        for (key, value) in fields {
            if let Some(value) = value {
                self.set(key, &value)?;
            }
        }
        Ok(())
    }

    /// Takes out what limits a whole call, and answers it.
    fn take_call_limit(&mut self) -> Result<Option<Duration>> {
        let is_limit = |key: &str| CALL_LIMITS.iter().any(|limit| limit.eq_ignore_ascii_case(key));
        let (limits, others) =
            std::mem::take(&mut self.query).into_iter().partition(|(key, _)| is_limit(key));
        self.query = others;
        let limits: Vec<(String, String)> = limits;
        let limits = limits.into_iter().map(|(key, value)| match value.parse() {
            Ok(0) | Err(_) => Err(refused(format!("{key} must be a number of milliseconds, at least 1"))),
            Ok(limit) => Ok(Duration::from_millis(limit)),
        });
        Ok(limits.collect::<Result<Vec<_>>>()?.into_iter().min())
    }

    /// What no message may show.
    fn secrets(&self) -> Vec<String> {
        let password =
            self.user.as_deref().and_then(|user| user.split_once(':')).map(|(_, password)| password);
        let hidden = SECRET.iter().filter_map(|key| self.get(key));
        let mut secrets: Vec<String> = password.into_iter().chain(hidden).map(str::to_owned).collect();
        let decoded: Vec<String> = secrets.iter().filter_map(|text| url_text::decode(text).ok()).collect();
        secrets.extend(decoded);
        // A shorter one would be found in any text; the driver repeats values of a few settings only.
        secrets.retain(|secret| secret.len() > 3);
        secrets
    }

    fn url(&self) -> SecretString {
        let scheme = if self.srv { "mongodb+srv" } else { "mongodb" };
        let user = self.user.as_deref().map(|user| format!("{user}@")).unwrap_or_default();
        let query: Vec<String> = self.query.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let joint = if query.is_empty() { "" } else { "?" };
        SecretString::from(format!(
            "{scheme}://{user}{}/{}{joint}{}",
            self.hosts,
            self.database,
            query.join("&")
        ))
    }
}

fn check_user(user: &str) -> Result<()> {
    let encoded = "write %XX for each of : / ? # [ ] @ and % in a user's name and a password";
    let (name, password) = user.split_once(':').unwrap_or((user, ""));
    for text in [name, password] {
        if text.contains([':', '/', '?', '[', ']', '@']) || url_text::decode(text).is_err() {
            return Err(refused(format!("the user or the password can not be read: {encoded}")));
        }
    }
    if name.is_empty() {
        return Err(refused("the URL has an @ before the server, but no user's name"));
    }
    Ok(())
}

/// The hosts themselves are not shown: a password that is not encoded may be taken for one.
fn check_hosts(hosts: &str, srv: bool) -> Result<()> {
    let count = hosts.split(',').count();
    if hosts.is_empty() {
        return Err(refused("no server is named; write mongodb://host:27017"));
    }
    for (place, host) in hosts.split(',').enumerate() {
        let port = match host.strip_prefix('[').map(|rest| rest.split_once(']')) {
            Some(Some((_, port))) => (!port.is_empty()).then(|| port.strip_prefix(':').unwrap_or("")),
            Some(None) => Some(""),
            None => host.split_once(':').map(|(_, port)| port),
        };
        if srv && (count > 1 || port.is_some()) {
            return Err(refused(
                "mongodb+srv:// takes exactly one DNS name, without a port: its records list the servers",
            ));
        }
        let name_missing = host.is_empty() || host.starts_with(':');
        if name_missing || port.is_some_and(|port| !port.parse::<u16>().is_ok_and(|port| port > 0)) {
            return Err(refused(format!(
                "server {} of {count} in the URL can not be read: write host or host:port, with a port of 1 to 65535. \
                 A password stands before an @, with %XX for each of : / ? # [ ] @ and % in it",
                place + 1
            )));
        }
    }
    Ok(())
}

fn read_pair(pair: &str) -> Result<(String, String)> {
    let Some((key, value)) = pair.split_once('=') else {
        return Err(refused(
            "a part of the URL's query is no key=value; if it is of a password, write %XX for each of : / ? # [ ] @ \
             and % in that",
        ));
    };
    if !DRIVERS.iter().any(|known| known.eq_ignore_ascii_case(key)) {
        if key.starts_with("store.") {
            return Err(refused(format!(
                "the URL has the option {key} of the store; read such a URL with parse::<MongoConfig>()"
            )));
        }
        return Err(unknown(key));
    }
    Ok((key.to_owned(), value.to_owned()))
}

/// The driver's options of a configuration. Looks up the servers of an SRV URL; sends nothing else.
pub(super) async fn options(config: &mut MongoConfig) -> Result<ClientOptions> {
    let url = config.url.expose_secret();
    let mut parts = match (url.is_empty(), config.connection.hosts.is_empty()) {
        (true, true) => return Err(refused("no server is named: give a URL, or hosts")),
        (false, false) => {
            return Err(refused("the server is named twice, by a URL and by hosts; keep one of them"));
        }
        (true, false) => Parts::of_hosts(&config.connection)?,
        (false, true) => Parts::read(url)?,
    };
    parts.set_user(&config.connection)?;
    parts.set_fields(&config.connection)?;
    can_pack(parts.get("compressors"))?;
    if let Some(limit) = parts.take_call_limit()? {
        if config.operation_timeout != OPERATION_TIMEOUT && config.operation_timeout != limit {
            return Err(refused(
                "the time for a call is given twice, as socketTimeoutMS or timeoutMS and as operation timeout, and \
                 differs; keep one of them",
            ));
        }
        config.operation_timeout = limit;
    }

    let limit = config.operation_timeout;
    let parsed = tokio::time::timeout(limit, ClientOptions::parse(parts.url().expose_secret())).await;
    let mut options = parsed.map_err(|_| timed_out(limit))?.map_err(|error| match error.kind.as_ref() {
        Driver::InvalidArgument { message, .. } => refused(without(&parts.secrets(), message)),
        _ => from_driver(error),
    })?;
    check_options(&options)?;
    let write_concern = options.write_concern.get_or_insert_default();
    write_concern.w.get_or_insert(Acknowledgment::Majority);
    let least = options.min_pool_size.unwrap_or(0);
    options.max_pool_size.get_or_insert(POOL_SIZE.max(least));
    options.app_name.get_or_insert_with(|| APP_NAME.to_owned());
    let version = env!("CARGO_PKG_VERSION").to_owned();
    options.driver_info.get_or_insert_with(|| DriverInfo::builder().name(APP_NAME).version(version).build());
    choose_timeouts(&mut options, config)?;
    Ok(options)
}

/// A call must last longer than the choice of a server, or nobody is told why there is none.
fn choose_timeouts(options: &mut ClientOptions, config: &mut MongoConfig) -> Result<()> {
    let Some(selection) = options.server_selection_timeout else {
        options.server_selection_timeout = Some(config.operation_timeout * 2 / 3);
        return Ok(());
    };
    if selection < config.operation_timeout {
        return Ok(());
    }
    if config.operation_timeout != OPERATION_TIMEOUT {
        return Err(refused(format!(
            "serverSelectionTimeoutMS is {} ms, but a whole call may take {} ms only; make it shorter than that",
            selection.as_millis(),
            config.operation_timeout.as_millis()
        )));
    }
    config.operation_timeout = selection * 3 / 2;
    Ok(())
}

fn check_options(options: &ClientOptions) -> Result<()> {
    let acknowledgment = options.write_concern.as_ref().and_then(|concern| concern.w.as_ref());
    if acknowledgment == Some(&Acknowledgment::Nodes(0)) {
        return Err(refused(
            "w=0 asks for no acknowledgement, so no call could say what was written; use w=1 or more",
        ));
    }
    if let (Some(min), Some(max)) = (options.min_pool_size, options.max_pool_size)
        && min > max
    {
        return Err(refused(format!("minPoolSize ({min}) is more than maxPoolSize ({max})")));
    }
    let tls = match &options.tls {
        Some(Tls::Enabled(tls)) => Some(tls),
        _ => None,
    };
    if tls.is_some_and(|tls| tls.allow_invalid_certificates == Some(true)) {
        tracing::warn!(
            "any certificate is taken for the server's; leave tlsAllowInvalidCertificates and tlsInsecure out"
        );
    }
    if let Some(path) = tls.and_then(|tls| tls.ca_file_path.as_deref()) {
        pem("tlsCAFile", path, &["CERTIFICATE"])?;
    }
    let certificate = tls.and_then(|tls| tls.cert_key_file_path.as_deref());
    if let Some(path) = certificate {
        pem("tlsCertificateKeyFile", path, &["CERTIFICATE", "PRIVATE KEY"])?;
    }
    let mechanism = options.credential.as_ref().and_then(|credential| credential.mechanism.as_ref());
    if mechanism == Some(&mongodb::options::AuthMechanism::MongoDbX509) && certificate.is_none() {
        return Err(refused("MONGODB-X509 needs a client certificate: give tlsCertificateKeyFile"));
    }
    Ok(())
}

/// Refuses a file that can not be read, and one that is no PEM with these parts: the driver takes a file without
/// certificates for one that trusts nobody.
fn pem(option: &str, path: &Path, parts: &[&str]) -> Result<()> {
    let shown = path.display();
    let text = std::fs::read(path)
        .map_err(|error| refused(format!("{option} {shown}: {error}")).with_source(error))?;
    let text = String::from_utf8_lossy(&text);
    let begins = |part: &str| {
        text.lines()
            .any(|line| line.starts_with("-----BEGIN ") && line.trim_end().ends_with(&format!("{part}-----")))
    };
    match parts.iter().find(|part| !begins(part)) {
        Some(missing) => Err(refused(format!("{option} {shown}: the file has no {missing} in PEM"))),
        None => Ok(()),
    }
}

/// Refuses to pack in a way this program was built without.
fn can_pack(compressors: Option<&str>) -> Result<()> {
    let names = compressors.map(url_text::decode).transpose()?.unwrap_or_default();
    for name in names.split(',').filter(|name| !name.is_empty()) {
        let (feature, there) = match name {
            "snappy" | "zlib" => ("compression", cfg!(feature = "compression")),
            "zstd" => ("zstd", cfg!(feature = "zstd")),
            _ => {
                return Err(refused(format!("unknown compressor {name:?}; known are snappy, zlib and zstd")));
            }
        };
        if !there {
            return Err(refused(format!(
                "the compressor {name} is not in this program; build it with the cargo feature {feature:?} of the crate \
                 store-mongodb, or leave the compressor out"
            )));
        }
    }
    Ok(())
}

/// A message of the driver without the secrets it may repeat.
fn without(secrets: &[String], message: &str) -> String {
    secrets.iter().fold(message.to_owned(), |message, secret| message.replace(secret.as_str(), "***"))
}
