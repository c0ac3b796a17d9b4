//! The certificate: read at start, and again when its files change, without a restart.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::server::TlsStream;

/// Two looks at the files' dates per second are nothing, and a renewal is noticed at once.
const LOOK_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsSettings {
    /// PEM file: the certificate, then those that vouch for it.
    pub certificate: Option<PathBuf>,
    /// PEM file: its private key.
    pub key: Option<PathBuf>,
}

#[derive(Debug)]
pub(crate) struct Certificate {
    certificate: PathBuf,
    key: PathBuf,
    current: Mutex<Arc<ServerConfig>>,
}

/// Dates and sizes of both files; when one differs, they are read again.
type Stamp = [Option<(SystemTime, u64)>; 2];

impl Certificate {
    pub(crate) fn load(settings: &TlsSettings) -> anyhow::Result<Self> {
        let (Some(certificate), Some(key)) = (&settings.certificate, &settings.key) else {
            bail!("TLS needs both `tls.certificate` and `tls.key`, each the path of a PEM file");
        };
        let current = Mutex::new(Arc::new(read(certificate, key)?));
        Ok(Self { certificate: certificate.clone(), key: key.clone(), current })
    }

    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let config = self.current.lock().unwrap_or_else(PoisonError::into_inner).clone();
        TlsAcceptor::from(config).accept(stream).await
    }

    /// Follows the files for ever. A pair that cannot be used changes nothing, and the log says why.
    pub(crate) async fn follow(self: Arc<Self>) {
        let mut seen = self.stamp().await;
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let stamp = self.stamp().await;
            if stamp == seen {
                continue;
            }
            seen = stamp;
            let this = self.clone();
            let Ok(result) = tokio::task::spawn_blocking(move || read(&this.certificate, &this.key)).await
            else {
                continue;
            };
            match result {
                Ok(config) => {
                    *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
                    tracing::info!("the new certificate is in use");
                }
                Err(error) => {
                    tracing::error!("the new certificate cannot be used, the old one stays: {error:#}");
                }
            }
        }
    }

    async fn stamp(&self) -> Stamp {
        let mut stamp = [None, None];
        for (found, path) in stamp.iter_mut().zip([&self.certificate, &self.key]) {
            let metadata = tokio::fs::metadata(path).await.ok();
            *found = metadata.and_then(|metadata| Some((metadata.modified().ok()?, metadata.len())));
        }
        stamp
    }
}

fn read(certificate: &Path, key: &Path) -> anyhow::Result<ServerConfig> {
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("cannot read the certificate {}", certificate.display()))?;
    if chain.is_empty() {
        bail!("there is no certificate in {}", certificate.display());
    }
    let private = PrivateKeyDer::from_pem_file(key)
        .with_context(|| format!("cannot read the private key {}", key.display()))?;
    ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .with_context(|| format!("{} and {} do not belong together", certificate.display(), key.display()))
}
