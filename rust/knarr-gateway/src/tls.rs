//! TLS: the server's certificate (exchangeable while it serves), optional client certificates, and the client side towards kubelets.
//!
//! The provider (ring) is passed everywhere: two providers in one process make rustls' default panic.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme};
use rustls_pki_types::pem::PemObject;

/// Certificates or keys that cannot be used: what and why, on one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsError(pub String);

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TlsError {}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// All certificates of a PEM text. Errors: none in it, or damaged ones.
pub fn certificates(pem: &[u8], what: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(list) if list.is_empty() => Err(TlsError(format!("{what}: no certificate in the PEM"))),
        Ok(list) => Ok(list),
        Err(error) => Err(TlsError(format!("{what}: {error}"))),
    }
}

fn certified_key(certificate: &[u8], key: &[u8], what: &str) -> Result<CertifiedKey, TlsError> {
    let chain = certificates(certificate, what)?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| TlsError(format!("{what}: private key: {error}")))?;
    CertifiedKey::from_der(chain, key, &provider()).map_err(|error| TlsError(format!("{what}: {error}")))
}

fn roots(ca: &[u8], what: &str) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(ca, what)? {
        store.add(certificate).map_err(|error| TlsError(format!("{what}: {error}")))?;
    }
    Ok(store)
}

/// The certificate that new connections are shown.
#[derive(Debug)]
pub struct Certificate(ArcSwap<CertifiedKey>);

impl Certificate {
    /// Takes another certificate and key (PEM) from now on. Errors leave the old ones in use.
    pub fn reload(&self, certificate: &[u8], key: &[u8]) -> Result<(), TlsError> {
        self.0.store(Arc::new(certified_key(certificate, key, "serving certificate")?));
        Ok(())
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

/// Verifies client certificates after the handshake rather than in it: a client with a bad one is told 401 by HTTP, as
/// Kubernetes tells it, not a TLS alert. That the client owns its certificate's key is still proved in the handshake.
#[derive(Debug)]
pub struct ClientCertificates {
    verifier: Arc<dyn ClientCertVerifier>,
}

impl ClientCertificates {
    /// True when the chain leads to the CA, is meant for clients, and is valid now.
    pub fn verify(&self, chain: &[CertificateDer<'_>]) -> bool {
        let Some((leaf, rest)) = chain.split_first() else { return false };
        self.verifier.verify_client_cert(leaf, rest, UnixTime::now()).is_ok()
    }
}

impl ClientCertVerifier for ClientCertificates {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.verifier.root_hint_subjects()
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

/// A server's TLS, all of PEM.
pub struct ServerTls {
    pub config: Arc<ServerConfig>,
    pub certificate: Arc<Certificate>,
    pub clients: Arc<ClientCertificates>,
}

impl ServerTls {
    /// `alpn`: the protocols offered, best first.
    pub fn new(certificate: &[u8], key: &[u8], client_ca: &[u8], alpn: &[&[u8]]) -> Result<Self, TlsError> {
        let certificate =
            Arc::new(Certificate(ArcSwap::from_pointee(certified_key(certificate, key, "serving certificate")?)));
        let roots = Arc::new(roots(client_ca, "client CA")?);
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider())
            .allow_unauthenticated()
            .build()
            .map_err(|error| TlsError(format!("client CA: {error}")))?;
        let clients = Arc::new(ClientCertificates { verifier });
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError(error.to_string()))?
            .with_client_cert_verifier(clients.clone())
            .with_cert_resolver(certificate.clone());
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        // One ticket to resume with; the default of two costs a write that no client of ours uses.
        config.send_tls13_tickets = 1;
        Ok(Self { config: Arc::new(config), certificate, clients })
    }
}

/// The client side towards kubelets: their certificates checked against `ca`, our own shown.
pub fn client_config(ca: &[u8], certificate: &[u8], key: &[u8]) -> Result<Arc<ClientConfig>, TlsError> {
    let chain = certificates(certificate, "kubelet client certificate")?;
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|error| TlsError(format!("kubelet client certificate: private key: {error}")))?;
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError(error.to_string()))?
        .with_root_certificates(roots(ca, "kubelet CA")?)
        .with_client_auth_cert(chain, key)
        .map_err(|error| TlsError(format!("kubelet client certificate: {error}")))?;
    Ok(Arc::new(config))
}
