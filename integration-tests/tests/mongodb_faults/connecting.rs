//! Who gets in, and what those who do not are told.

use std::sync::OnceLock;
use std::time::Duration;

use nodestore_integration_tests::Missing;
use nodestore_integration_tests::mongodb::{Cluster, Options};
use store_core::{Backend as _, Error, ErrorKind, KvStoreExt as _};
use store_mongodb::{AuthMechanism, MongoBackend, MongoConfig, MongoConnection};

use crate::common::{Done, Test, block_on, expect, value};
use crate::open;

pub(crate) const TRIALS: &[(&str, Test)] = &[
    ("fault_nothing_listens", nothing_listens),
    ("fault_wrong_replica_set", wrong_replica_set),
    ("fault_wrong_password", wrong_password),
    ("fault_no_password", no_password),
    ("fault_wrong_ca", wrong_ca),
    ("fault_no_tls", no_tls),
    ("fault_no_user_of_that_certificate", no_user_of_that_certificate),
    ("scram_sha_1_and_256_get_in", scram_gets_in),
    ("client_certificate_gets_in", client_certificate_gets_in),
];

const TIMEOUT: Duration = Duration::from_secs(3);

/// One with TLS, users and certificates, for all who only knock at it. It ends with this process.
fn secure() -> Result<&'static Cluster, Missing> {
    static SECURE: OnceLock<Result<Cluster, Missing>> = OnceLock::new();
    let options = Options { members: 1, auth: true, tls: true };
    SECURE.get_or_init(|| Cluster::start(options)).as_ref().map_err(Clone::clone)
}

/// How to reach [`secure`], but for who is asking.
fn connection(cluster: &Cluster) -> MongoConnection {
    let hosts = cluster.ports().iter().map(|port| format!("127.0.0.1:{port}"));
    MongoConnection::default()
        .with_hosts(hosts)
        .with_replica_set("rs0")
        .with_tls_ca_file(cluster.tls_file("ca.crt"))
}

async fn knock(connection: MongoConnection) -> Result<MongoBackend, Error> {
    let config = MongoConfig::default()
        .with_connection(connection)
        .with_namespace("faults")
        .with_operation_timeout(TIMEOUT);
    let store = MongoBackend::connect(config).await?;
    store.kv()?.put("kept", "key", value(1)).await?;
    Ok(store)
}

/// Knocks and must be refused so.
fn refused(connection: MongoConnection, kind: ErrorKind, next_step: &str) -> Done {
    block_on(async {
        match knock(connection).await {
            Ok(_) => Err("it was let in".into()),
            Err(error) if error.is_retryable() => Err(format!("a retry helps nothing: {error}").into()),
            Err(error) => expect(&error, kind, next_step),
        }
    })
}

fn nothing_listens() -> Done {
    block_on(async {
        // A port that is given to nobody.
        let store = open("mongodb://root:s3cret@127.0.0.1:1/?authSource=admin", TIMEOUT).await?;
        let Err(error) = store.ping().await else { return Err("somebody answers".into()) };
        expect(&error, ErrorKind::Unavailable, "start the server")
    })
}

fn wrong_replica_set() -> Done {
    let cluster = Cluster::start(Options::default())?;
    block_on(async {
        let url = cluster.url()?.replace("rs0", "other");
        let store = open(&url, TIMEOUT).await?;
        let Err(error) = store.ping().await else { return Err("it takes any set".into()) };
        expect(&error, ErrorKind::Config, "rs.status()")
    })
}

fn wrong_password() -> Done {
    let connection = connection(secure()?).with_user("root", "s3cret").with_auth_source("admin");
    refused(connection, ErrorKind::Unauthorized, "check the user, the password and authSource")
}

fn no_password() -> Done {
    refused(connection(secure()?), ErrorKind::Unauthorized, "the user")
}

fn wrong_ca() -> Done {
    let cluster = secure()?;
    let connection =
        connection(cluster).with_tls_ca_file(cluster.tls_file("other-ca.crt")).with_user("root", "rootpw");
    refused(connection, ErrorKind::Config, "tlsCAFile")
}

fn no_tls() -> Done {
    let hosts = secure()?.ports().iter().map(|port| format!("127.0.0.1:{port}"));
    let connection = MongoConnection::default().with_hosts(hosts).with_user("root", "rootpw");
    block_on(async {
        let Err(error) = knock(connection).await else { return Err("it was let in".into()) };
        expect(&error, ErrorKind::Unavailable, "tls=true")
    })
}

fn no_user_of_that_certificate() -> Done {
    let cluster = secure()?;
    let connection = connection(cluster)
        .with_tls_certificate_file(cluster.tls_file("stranger.pem"))
        .with_auth_mechanism(AuthMechanism::X509);
    refused(connection, ErrorKind::Unauthorized, "$external")
}

fn scram_gets_in() -> Done {
    let cluster = secure()?;
    block_on(async {
        for mechanism in [AuthMechanism::ScramSha1, AuthMechanism::ScramSha256] {
            let named = connection(cluster).with_user("root", "rootpw").with_auth_mechanism(mechanism);
            knock(named).await?.ping().await?;
        }
        // And as the URL of the server says it.
        open(cluster.url()?, TIMEOUT).await?.ping().await?;
        Ok(())
    })
}

fn client_certificate_gets_in() -> Done {
    let cluster = secure()?;
    block_on(async {
        let connection = connection(cluster)
            .with_tls_certificate_file(cluster.tls_file("client.pem"))
            .with_auth_mechanism(AuthMechanism::X509);
        knock(connection).await?.ping().await?;
        Ok(())
    })
}
