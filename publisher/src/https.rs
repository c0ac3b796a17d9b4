//! Asking a web server: with the authorities that this system trusts, and without going where it was not sent.

use std::sync::Arc;
use std::time::Duration;

/// What a server answers.
pub type Answer = ureq::http::Response<ureq::Body>;

/// Asks and waits for answers, each at most so long. A status is an answer, not an error.
pub fn agent(answered_within: Duration) -> ureq::Agent {
    let roots = rustls_native_certs::load_native_certs().certs;
    let roots = roots.iter().map(|root| ureq::tls::Certificate::from_der(root).to_owned()).collect();
    let tls = ureq::tls::TlsConfig::builder()
        .provider(ureq::tls::TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .root_certs(ureq::tls::RootCerts::Specific(Arc::new(roots)))
        .build();
    ureq::Agent::config_builder()
        .tls_config(tls)
        .timeout_global(Some(answered_within))
        // What is somewhere else is somebody else's.
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .user_agent(concat!("pika/", env!("CARGO_PKG_VERSION")))
        .build()
        .new_agent()
}
