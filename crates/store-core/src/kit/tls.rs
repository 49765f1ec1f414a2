//! TLS for drivers that take rustls' settings (feature `tls`).

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::{Error, Result};

/// An option with the file that it names.
pub type OptionFile<'a> = (&'a str, &'a Path);

/// The client's side of TLS, with ring as the provider: what a program's other crates chose has no part in it.
///
/// The server's certificate must be signed by one in `ca`, a file in PEM; without one by the system's. The client's own
/// certificate is in PEM too, and its key stands in the same file unless another is given, not encrypted.
///
/// Files that can not be read or used are `Config`, with their option; a key is never shown.
pub fn client(
    ca: Option<OptionFile<'_>>,
    certificate: Option<OptionFile<'_>>,
    key: Option<OptionFile<'_>>,
) -> Result<ClientConfig> {
    let roots = match ca {
        Some(file) => roots_of_file(file)?,
        None => roots_of_system()?,
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::config(format!("TLS can not be used: {error}")))?
        .with_root_certificates(roots);
    let Some(certificate) = certificate else { return Ok(builder.with_no_client_auth()) };
    let chain = certificates(certificate)?;
    let (option, path) = key.unwrap_or(certificate);
    // Its own message might show the key.
    let key = PrivateKeyDer::from_pem_slice(&read("the key of", (option, path))?).map_err(|_| {
        Error::config(format!(
            "{option} {}: the file has no PRIVATE KEY in PEM that is not encrypted",
            path.display()
        ))
    })?;
    builder.with_client_auth_cert(chain, key).map_err(|error| {
        Error::config(format!("{option} {}: the key does not fit the certificate: {error}", path.display()))
    })
}

fn read(what: &str, (option, path): OptionFile<'_>) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| {
        Error::config(format!("{what} {option} {} can not be read: {error}", path.display()))
            .with_source(error)
    })
}

fn certificates(file: OptionFile<'_>) -> Result<Vec<CertificateDer<'static>>> {
    let text = read("the certificates of", file)?;
    let certificates = CertificateDer::pem_slice_iter(&text).collect::<std::result::Result<Vec<_>, _>>();
    certificates.ok().filter(|all| !all.is_empty()).ok_or_else(|| {
        Error::config(format!("{} {}: the file has no CERTIFICATE in PEM", file.0, file.1.display()))
    })
}

fn roots_of_file(file: OptionFile<'_>) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        roots.add(certificate).map_err(|error| {
            Error::config(format!("{} {}: a certificate can not be used: {error}", file.0, file.1.display()))
        })?;
    }
    Ok(roots)
}

fn roots_of_system() -> Result<RootCertStore> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Systems have certificates that nobody can use; one bad one must not keep the others out.
    let (used, _) = roots.add_parsable_certificates(found.certs);
    if used == 0 {
        return Err(Error::config(
            "this system has no certificates to check the server's with; give tlsCAFile, or install ca-certificates",
        ));
    }
    Ok(roots)
}
