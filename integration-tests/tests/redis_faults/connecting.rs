//! Who gets in, and what those who do not are told.

use std::sync::OnceLock;
use std::time::Duration;

use nodestore_integration_tests::Missing;
use nodestore_integration_tests::redis::{Layout, Options, Servers};
use store_core::{Backend as _, ErrorKind, KvStoreExt as _};

use crate::common::{Done, Test, block_on, expect, value};
use crate::open;
use crate::outages::{COLLECTIONS, heals};

pub(crate) const TRIALS: &[(&str, Test)] = &[
    ("fault_nothing_listens", nothing_listens),
    ("fault_wrong_password", wrong_password),
    ("fault_unknown_user", unknown_user),
    ("fault_no_password", no_password),
    ("fault_user_who_may_only_read", may_only_read),
    ("fault_wrong_ca", wrong_ca),
    ("fault_ca_of_the_system", system_ca),
    ("fault_no_tls", no_tls),
    ("fault_tls_where_there_is_none", tls_to_plain),
    ("fault_frozen_from_the_start", frozen_from_the_start),
    ("fault_no_cluster", no_cluster),
    ("fault_a_cluster_and_only_one_asked_for", only_one_of_a_cluster),
    ("fault_wrong_sentinel_name", wrong_sentinel_name),
    ("fault_no_sentinel_listens", no_sentinel),
    ("users_with_tls_get_in", tls_gets_in),
    ("cluster_with_tls_is_used_and_refuses_who_lacks_it", cluster_with_tls),
    ("sentinels_and_servers_with_users_are_used", sentinels_with_users),
    ("fault_wrong_password_for_the_sentinels", wrong_sentinel_password),
];

const TIMEOUT: Duration = Duration::from_secs(3);

/// Started once for all who only knock at it; ends with this process.
struct Shared(OnceLock<Result<Servers, Missing>>, Options);

impl Shared {
    const fn new(layout: Layout, acl: bool, tls: bool) -> Self {
        let (replicas, persist, search) = (false, false, false);
        Self(OnceLock::new(), Options { layout, replicas, acl, tls, persist, search })
    }

    fn get(&self) -> Result<&Servers, Missing> {
        self.0.get_or_init(|| Servers::start(self.1)).as_ref().map_err(Clone::clone)
    }
}

static PLAIN: Shared = Shared::new(Layout::Single, false, false);
static USERS: Shared = Shared::new(Layout::Single, true, false);
static SECURE: Shared = Shared::new(Layout::Single, true, true);
static CLUSTER: Shared = Shared::new(Layout::Cluster, false, false);
static SENTINEL: Shared = Shared::new(Layout::Sentinel, false, false);
static SENTINEL_USERS: Shared = Shared::new(Layout::Sentinel, true, false);

/// Knocks and must be refused so.
fn refused(url: &str, kind: ErrorKind, next_step: &str) -> Done {
    block_on(async {
        match open(url, TIMEOUT).await {
            Ok(_) => Err("it was let in".into()),
            Err(error) if error.is_retryable() != (kind == ErrorKind::Unavailable) => {
                Err(format!("a retry helps, or not: {error:?}").into())
            }
            Err(error) => expect(&error, kind, next_step),
        }
    })
}

fn nothing_listens() -> Done {
    // A port that is given to nobody.
    refused("redis://app:s3cret@127.0.0.1:1", ErrorKind::Unavailable, "start the server")
}

fn wrong_password() -> Done {
    let url = USERS.get()?.url()?.replace("apppw", "s3cret");
    refused(&url, ErrorKind::Unauthorized, "check the user and the password")
}

fn unknown_user() -> Done {
    let url = USERS.get()?.url()?.replace("app:apppw", "nobody:s3cret");
    refused(&url, ErrorKind::Unauthorized, "check the user and the password")
}

fn no_password() -> Done {
    let url = USERS.get()?.url()?.replace("app:apppw@", "");
    refused(&url, ErrorKind::Unauthorized, "the user")
}

fn may_only_read() -> Done {
    let servers = USERS.get()?;
    block_on(async {
        open(servers.url()?, TIMEOUT).await?.kv()?.put("kept", "key", value(1)).await?;
        let reader = open(&servers.url()?.replace("app:apppw", "reader:readerpw"), TIMEOUT).await?;
        reader.ping().await?;
        if reader.kv()?.get("kept", "key").await? != Some(value(1)) {
            return Err("a reader reads something else".into());
        }
        let Err(error) = reader.kv()?.put("kept", "key", value(2)).await else {
            return Err("a reader writes".into());
        };
        expect(&error, ErrorKind::Unauthorized, "ACL SETUSER")
    })
}

fn wrong_ca() -> Done {
    let url = SECURE.get()?.url()?.replace("/ca.crt", "/other-ca.crt").replace("apppw", "s3cret");
    refused(&url, ErrorKind::Config, "tlsCAFile")
}

fn system_ca() -> Done {
    let url = SECURE.get()?.url()?.replace("apppw", "s3cret");
    let (url, _) = url.split_once('?').ok_or("the URL names a CA")?;
    refused(url, ErrorKind::Config, "tlsCAFile")
}

fn no_tls() -> Done {
    let url = SECURE.get()?.url()?.replace("rediss", "redis").replace("apppw", "s3cret");
    let (url, _) = url.split_once('?').ok_or("the URL names a CA")?;
    refused(url, ErrorKind::Unavailable, "rediss://")
}

fn tls_to_plain() -> Done {
    let url = PLAIN.get()?.url()?.replace("redis://", "rediss://app:s3cret@");
    // The server waits for the end of a line.
    refused(&url, ErrorKind::Unavailable, "rediss://")
}

/// The server takes the connection and says nothing.
fn frozen_from_the_start() -> Done {
    let servers = Servers::start(Options::default())?;
    let [port] = *servers.ports() else { return Err("one server was asked for".into()) };
    servers.freeze(port)?;
    refused(servers.url()?, ErrorKind::Unavailable, "3000 ms")?;
    servers.thaw(port)?;
    block_on(async { Ok(open(servers.url()?, TIMEOUT).await?.ping().await?) })
}

fn no_cluster() -> Done {
    let url = PLAIN.get()?.url()?.replace("redis://", "redis-cluster://");
    refused(&url, ErrorKind::Config, "redis://")
}

/// One node holds a third of the keys, and only names the node of any other.
fn only_one_of_a_cluster() -> Done {
    let servers = CLUSTER.get()?;
    let url = format!("redis://127.0.0.1:{}", servers.ports().first().ok_or("no ports")?);
    refused(&url, ErrorKind::Config, "redis-cluster://")
}

fn wrong_sentinel_name() -> Done {
    let url = SENTINEL.get()?.url()?.replace("=main", "=other");
    refused(&url, ErrorKind::Config, "sentinelServiceName")
}

fn no_sentinel() -> Done {
    let url = "redis-sentinel://app:s3cret@127.0.0.1:1?sentinelServiceName=main";
    refused(url, ErrorKind::Unavailable, "sentinel")
}

fn tls_gets_in() -> Done {
    let servers = SECURE.get()?;
    block_on(async {
        let store = open(servers.url()?, TIMEOUT).await?;
        store.kv()?.put("kept", "key", value(1)).await?;
        Ok(())
    })
}

/// Every node is met over TLS, and none without.
fn cluster_with_tls() -> Done {
    let servers = Servers::start(Options { layout: Layout::Cluster, tls: true, ..Options::default() })?;
    let url = servers.url()?;
    block_on(async {
        let kv = open(url, TIMEOUT).await?.kv()?;
        for collection in COLLECTIONS {
            kv.put(collection, "key", value(1)).await?;
            if kv.get(collection, "key").await? != Some(value(1)) {
                return Err(format!("{collection} does not keep what it is given").into());
            }
        }
        Ok(())
    })?;
    refused(&url.replace("/ca.crt", "/other-ca.crt"), ErrorKind::Config, "tlsCAFile")?;
    let (plain, _) = url.split_once('?').ok_or("the URL names a CA")?;
    refused(&plain.replace("rediss", "redis"), ErrorKind::Unavailable, "rediss://")
}

/// The sentinels have users of their own.
fn sentinels_with_users() -> Done {
    let servers = Servers::start(Options { layout: Layout::Sentinel, acl: true, ..Options::default() })?;
    block_on(async {
        let store = open(servers.url()?, TIMEOUT).await?;
        store.kv()?.put("kept", "key", value(1)).await?;
        // They know the password of the other one, too.
        servers.kill(*servers.ports().first().ok_or("no master")?)?;
        heals(&store).await
    })
}

fn wrong_sentinel_password() -> Done {
    let url = SENTINEL_USERS.get()?.url()?.replace("watcherpw", "s3cret");
    refused(&url, ErrorKind::Unavailable, "sentinelPassword")
}
