//! Who gets in, and what those who do not are told.

use std::net::TcpListener;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use libtest_mimic::Failed;
use nodestore_integration_tests::Missing;
use nodestore_integration_tests::cassandra::{Nodes, Options};
use store_cassandra::CassandraSession;
use store_core::{Backend as _, ErrorKind, KvStoreExt as _};

use crate::common::{Done, Test, block_on, expect, value};
use crate::{namespace, open, server};

pub(crate) const TRIALS: &[(&str, Test)] = &[
    ("fault_nothing_listens", nothing_listens),
    ("fault_unknown_host", unknown_host),
    ("fault_one_of_the_nodes_does_not_listen", one_does_not_listen),
    ("fault_a_port_that_says_nothing", says_nothing),
    ("fault_no_cassandra", no_cassandra),
    ("fault_wrong_datacentre", wrong_datacentre),
    ("fault_wrong_password", wrong_password),
    ("fault_unknown_user", unknown_user),
    ("fault_no_password", no_password),
    ("fault_user_who_may_only_read", may_only_read),
    ("fault_wrong_ca", wrong_ca),
    ("fault_ca_of_the_system", system_ca),
    ("fault_wrong_host_name", wrong_host_name),
    ("fault_no_client_certificate", no_client_certificate),
    ("fault_client_certificate_of_another_ca", strange_client_certificate),
    ("fault_no_tls", no_tls),
    ("fault_tls_where_there_is_none", tls_to_plain),
    ("users_with_tls_get_in", tls_gets_in),
    ("compressed_connections_carry_what_they_are_given", compressed),
];

const TIMEOUT: Duration = Duration::from_secs(30);
/// As long as connecting may take.
const CONNECT: Duration = Duration::from_secs(3);

/// One with TLS, users and certificates, for all who only knock at it. It ends with this process.
fn secure() -> Result<&'static Nodes, Missing> {
    static SECURE: OnceLock<Result<Nodes, Missing>> = OnceLock::new();
    let options = Options { nodes: 1, auth: true, tls: true };
    SECURE.get_or_init(|| Nodes::start(options)).as_ref().map_err(Clone::clone)
}

/// The URL of the secure one, with parts of it changed.
fn secure_with(changes: &[(&str, &str)]) -> Result<String, Missing> {
    let url = secure()?.url()?.to_owned();
    Ok(changes.iter().fold(url, |url, (from, to)| url.replace(from, to)))
}

/// Knocks and must be refused so, in time.
fn refused(url: &str, kind: ErrorKind, next_step: &str) -> Done {
    let url =
        format!("{url}{}connectTimeoutMS={}", if url.contains('?') { '&' } else { '?' }, CONNECT.as_millis());
    let begin = Instant::now();
    block_on(async {
        match open(&url, &namespace(), TIMEOUT).await {
            Ok(_) => Err("it was let in".into()),
            Err(error) if error.is_retryable() != (kind == ErrorKind::Unavailable) => {
                Err(format!("a retry helps, or not: {error:?}").into())
            }
            Err(error) => expect(&error, kind, next_step),
        }
    })?;
    // It looks for the host, connects, and begins a session.
    if begin.elapsed() > 3 * CONNECT {
        return Err(format!("it took {} ms", begin.elapsed().as_millis()).into());
    }
    Ok(())
}

fn nothing_listens() -> Done {
    // A port that is given to nobody.
    refused("cassandra://app:s3cret@127.0.0.1:1/", ErrorKind::Unavailable, "start the server")
}

fn unknown_host() -> Done {
    refused("cassandra://app:s3cret@nobody.invalid/", ErrorKind::Unavailable, "nobody.invalid")
}

fn one_does_not_listen() -> Done {
    let url = server()?.replace("cassandra://", "cassandra://nobody.invalid,127.0.0.1:1,");
    block_on(async { Ok(open(&url, &namespace(), TIMEOUT).await?.ping().await?) })
}

fn says_nothing() -> Done {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("cassandra://app:s3cret@{}/", listener.local_addr()?);
    refused(&url, ErrorKind::Unavailable, "3000 ms")?;
    refused(&format!("{url}?tls=true"), ErrorKind::Unavailable, "3000 ms")
}

/// Something else answers.
fn no_cassandra() -> Done {
    use std::io::Write as _;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("cassandra://app:s3cret@{}/", listener.local_addr()?);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            // Whoever it is may be gone already.
            drop(stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"));
        }
    });
    refused(&url, ErrorKind::Unavailable, "the port")
}

fn wrong_datacentre() -> Done {
    let url = server()?;
    let url = format!("{url}{}datacenter=nowhere", if url.contains('?') { '&' } else { '?' });
    refused(&url, ErrorKind::Config, "it has datacenter1")
}

fn wrong_password() -> Done {
    refused(
        &secure_with(&[(":cassandra@", ":s3cret@")])?,
        ErrorKind::Unauthorized,
        "the user or its password",
    )
}

fn unknown_user() -> Done {
    let url = secure_with(&[("cassandra:cassandra@", "nobody:s3cret@")])?;
    refused(&url, ErrorKind::Unauthorized, "the user or its password")
}

fn no_password() -> Done {
    refused(&secure_with(&[("cassandra:cassandra@", "")])?, ErrorKind::Unauthorized, "user:password@")
}

fn may_only_read() -> Done {
    let name = namespace();
    block_on(async {
        let store = open(secure()?.url()?, &name, TIMEOUT).await?;
        store.kv()?.put("kept", "key", value(1)).await?;
        let CassandraSession::Tls(session) = store.session()? else { return Err("TLS was asked for".into()) };
        for statement in [
            "CREATE ROLE reader WITH PASSWORD = 's3cret' AND LOGIN = true",
            "GRANT SELECT ON KEYSPACE nodestore TO reader",
        ] {
            session.query(statement).await?;
        }
        let reader =
            open(&secure_with(&[("cassandra:cassandra@", "reader:s3cret@")])?, &name, TIMEOUT).await?;
        if reader.kv()?.get("kept", "key").await? != Some(value(1)) {
            return Err("a reader reads something else".into());
        }
        let Err(error) = reader.kv()?.put("kept", "key", value(2)).await else {
            return Err("a reader writes".into());
        };
        expect(&error, ErrorKind::Unauthorized, "GRANT")?;
        let Err(error) = reader.chat()?.append("session", vec![]).await.and(reader.drop_namespace().await)
        else {
            return Err("a reader drops tables".into());
        };
        expect(&error, ErrorKind::Unauthorized, "GRANT")
    })
}

fn wrong_ca() -> Done {
    let url = secure_with(&[("/ca.crt", "/other-ca.crt"), (":cassandra@", ":s3cret@")])?;
    refused(&url, ErrorKind::Config, "tlsCAFile")
}

/// A part of the URL's query is left out.
fn without(url: &str, key: &str) -> Result<String, Failed> {
    let (before, query) = url.split_once('?').ok_or("the URL has no query")?;
    let left: Vec<&str> = query.split('&').filter(|pair| !pair.starts_with(key)).collect();
    Ok(format!("{before}?{}", left.join("&")))
}

fn system_ca() -> Done {
    refused(&without(secure()?.url()?, "tlsCAFile")?, ErrorKind::Config, "tlsCAFile")
}

fn wrong_host_name() -> Done {
    let url =
        secure_with(&[("tlsHostName=localhost", "tlsHostName=example.org"), (":cassandra@", ":s3cret@")])?;
    refused(&url, ErrorKind::Config, "tlsHostName")
}

fn no_client_certificate() -> Done {
    not_accepted(&without(&secure_with(&[(":cassandra@", ":s3cret@")])?, "tlsCertificateFile")?)
}

fn strange_client_certificate() -> Done {
    let secure = secure()?;
    let (certificate, key) = (secure.tls_file("other-ca.crt"), secure.tls_file("other-ca.key"));
    let url = without(secure.url()?, "tlsCertificateFile")?;
    let url = format!("{url}&tlsCertificateFile={}&tlsKeyFile={}", certificate.display(), key.display());
    not_accepted(&url)
}

/// The node may close the connection before its reason is read.
fn not_accepted(url: &str) -> Done {
    block_on(async {
        match open(url, &namespace(), TIMEOUT).await {
            Ok(_) => Err("it was let in".into()),
            Err(error) if error.kind() == ErrorKind::Config => {
                expect(&error, ErrorKind::Config, "tlsCertificateFile")
            }
            Err(error) => expect(&error, ErrorKind::Unavailable, "tlsCertificateFile"),
        }
    })
}

fn no_tls() -> Done {
    let url = secure_with(&[(":cassandra@", ":s3cret@")])?;
    let (url, _) = url.split_once('?').ok_or("the URL names a CA")?;
    refused(url, ErrorKind::Unavailable, "tls=true")
}

fn tls_to_plain() -> Done {
    let url = server()?.replace("cassandra://", "cassandra://app:s3cret@");
    let url = format!("{url}{}tls=true", if url.contains('?') { '&' } else { '?' });
    refused(&url, ErrorKind::Unavailable, "tls=false")
}

fn tls_gets_in() -> Done {
    block_on(async {
        let store = open(secure()?.url()?, &namespace(), TIMEOUT).await?;
        store.kv()?.put("kept", "key", value(1)).await?;
        if store.kv()?.get("kept", "key").await? != Some(value(1)) {
            return Err("it does not keep what it is given".into());
        }
        Ok(())
    })
}

fn compressed() -> Done {
    let text = "compressible ".repeat(20_000);
    let url = server()?;
    block_on(async {
        for algorithm in ["lz4", "snappy"] {
            let mark = if url.contains('?') { '&' } else { '?' };
            let store = open(&format!("{url}{mark}compression={algorithm}"), &namespace(), TIMEOUT).await?;
            let mut large = value(1);
            large.insert("text".to_owned(), text.as_str().into());
            for (key, value) in [("large", large), ("small", value(2))] {
                store.kv()?.put("kept", key, value.clone()).await?;
                if store.kv()?.get("kept", key).await? != Some(value) {
                    return Err(format!("{algorithm}: {key} is not what it was").into());
                }
            }
        }
        Ok(())
    })
}
