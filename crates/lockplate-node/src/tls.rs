//! TLS between the parties of a charter: each side knows the other's key beforehand, so no certificate authority is
//! asked or trusted. A certificate is only the envelope of a key: names, validity dates and issuers in it are never
//! looked at (LPv1 §3: keys are pinned by the charter). The server side goes to `http`, the client side to `client`.
//! TLS 1.3 only; the cryptography is rustls over aws-lc-rs. Beside it stand the ways to devices that are of no charter, cameras
//! and brokers: older TLS, a pin or an authority of the configuration.

use core::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme,
    SupportedProtocolVersion,
};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::settings::{KeyFileError, create_secret_file, read_public_file, read_secret_file};
use crate::shutdown::ExitKind;

/// Name in our own certificates. Nobody checks it; rustls wants one that is there.
const CERTIFICATE_NAME: &str = "lockplate";

/// Extension of the certificate that lies beside a key file.
const CERTIFICATE_EXTENSION: &str = "crt";

/// Longest certificate chain read from a file.
const CHAIN_LENGTH_MAX: usize = 8;

/// Why TLS could not be set up.
#[derive(Debug)]
#[non_exhaustive]
pub enum TlsError {
    /// The key or certificate file is missing, open to others, or unreadable.
    File(KeyFileError),
    /// The file holds no key, or no certificate, that can be used; the path is named.
    Unusable(PathBuf),
    /// The certificate beside the key belongs to another key; both lie at this path.
    Mismatch(PathBuf),
    /// The system has no certificates of authorities, or the file that names others holds none.
    Authorities,
    /// The TLS library refused; our bug or a key of an unsupported kind.
    Library(rustls::Error),
}

impl TlsError {
    /// The exit code that fits.
    #[must_use]
    pub const fn exit_kind(&self) -> ExitKind {
        match self {
            Self::File(_) | Self::Unusable(_) | Self::Mismatch(_) | Self::Authorities => ExitKind::Config,
            Self::Library(_) => ExitKind::Internal,
        }
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(_) => f.write_str("the TLS key file was refused"),
            Self::Unusable(path) => write!(f, "no usable key or certificate in {}", path.display()),
            Self::Mismatch(path) => write!(f, "the certificate beside {} belongs to another key", path.display()),
            Self::Authorities => f.write_str("no certificates of authorities are found to trust"),
            Self::Library(_) => f.write_str("TLS could not be set up"),
        }
    }
}

impl core::error::Error for TlsError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::File(cause) => Some(cause),
            Self::Library(cause) => Some(cause),
            Self::Unusable(_) | Self::Mismatch(_) | Self::Authorities => None,
        }
    }
}

impl From<KeyFileError> for TlsError {
    fn from(cause: KeyFileError) -> Self {
        Self::File(cause)
    }
}

impl From<rustls::Error> for TlsError {
    fn from(cause: rustls::Error) -> Self {
        Self::Library(cause)
    }
}

/// The TLS key of this party with its certificate, and the pin by which others know it.
pub struct TlsIdentity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    pin: [u8; 32],
}

impl TlsIdentity {
    /// Reads the key at `key_path` (PKCS#8 PEM, mode 0600 or stricter) and the certificate beside it (same name,
    /// extension `crt`).
    ///
    /// Where the key is absent a P-256 key is made (browsers of officers know no Ed25519 certificates); where the
    /// certificate is absent a self-signed one is. Both are durable on return. A certificate of an authority may be put
    /// in the place of ours; its key must fit.
    ///
    /// # Errors
    /// [`TlsError`]: file refused, unusable content, certificate of another key.
    pub fn load_or_create(key_path: &Path) -> Result<Self, TlsError> {
        if !key_path.try_exists().map_err(|cause| KeyFileError::io(key_path, cause))? {
            let made = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
                .map_err(|_rcgen| TlsError::Unusable(key_path.to_owned()))?;
            let pem = Zeroizing::new(made.serialize_pem());
            create_secret_file(key_path, pem.as_bytes())?;
        }
        let pem = read_secret_file(key_path)?;
        let unusable = || TlsError::Unusable(key_path.to_owned());
        let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|_content| unusable())?;
        let certificate_path = key_path.with_extension(CERTIFICATE_EXTENSION);
        if !certificate_path.try_exists().map_err(|cause| KeyFileError::io(&certificate_path, cause))? {
            let text = core::str::from_utf8(&pem).map_err(|_content| unusable())?;
            let pair = KeyPair::from_pem(text).map_err(|_content| unusable())?;
            let made = CertificateParams::new(vec![CERTIFICATE_NAME.to_owned()])
                .and_then(|params| params.self_signed(&pair))
                .map_err(|_rcgen| unusable())?;
            create_secret_file(&certificate_path, made.pem().as_bytes())?;
        }
        let bytes = read_public_file(&certificate_path)?;
        let chain = CertificateDer::pem_slice_iter(&bytes)
            .take(CHAIN_LENGTH_MAX)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_content| TlsError::Unusable(certificate_path.clone()))?;
        let own = chain.first().ok_or_else(|| TlsError::Unusable(certificate_path.clone()))?;
        let pin = spki_pin(own).map_err(|_content| TlsError::Unusable(certificate_path))?;
        let identity = Self { chain, key, pin };
        // Checked here, at start-up, and not at the first connection.
        identity.server_config().map_err(|cause| match cause {
            TlsError::Library(rustls::Error::InconsistentKeys(_)) => TlsError::Mismatch(key_path.to_owned()),
            other @ (TlsError::File(_)
            | TlsError::Unusable(_)
            | TlsError::Mismatch(_)
            | TlsError::Authorities
            | TlsError::Library(_)) => other,
        })?;
        Ok(identity)
    }

    /// SHA-256 of our SubjectPublicKeyInfo (DER): what the charter or the peer's configuration names.
    #[must_use]
    pub const fn pin(&self) -> [u8; 32] {
        self.pin
    }

    /// The server side: TLS 1.3, HTTP/1.1, no client certificates (callers sign what they send), no early data.
    ///
    /// # Errors
    /// [`TlsError::Library`] where key and certificate do not fit each other.
    pub fn server_config(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_no_client_auth()
            .with_single_cert(self.chain.clone(), self.key.clone_key())?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

impl fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsIdentity").field("pin", &hex::encode(self.pin)).finish_non_exhaustive()
    }
}

/// SHA-256 over the DER of the certificate's SubjectPublicKeyInfo (32 bytes).
///
/// # Errors
/// Where `certificate` is not an X.509 version 3 certificate.
pub fn spki_pin(certificate: &CertificateDer<'_>) -> Result<[u8; 32], rustls::Error> {
    let parsed = ParsedCertificate::try_from(certificate)?;
    Ok(Sha256::digest(parsed.subject_public_key_info().as_ref()).into())
}

/// The client side: TLS 1.3 to exactly the party whose key hashes to `pin`, whatever its name, address or dates.
///
/// No session is resumed, so that every connection proves possession of the key again.
///
/// # Errors
/// [`TlsError::Library`]; does not happen with the compiled-in provider.
pub fn client_config(pin: [u8; 32]) -> Result<ClientConfig, TlsError> {
    config_for(Some(pin), PEERS)
}

/// The client's side towards a device of somebody else's make, a camera: the party whose key hashes to `pin`, over TLS 1.2 where
/// it knows no later one.
///
/// # Errors
/// [`TlsError::Library`]; does not happen with the compiled-in provider.
pub fn client_config_of_device(pin: [u8; 32]) -> Result<ClientConfig, TlsError> {
    config_for(Some(pin), DEVICES)
}

/// The client's side towards a server that an authority vouches for by name: `pem` holds the authority's certificates.
///
/// # Errors
/// [`TlsError::Authorities`] where `pem` holds none that can be used.
pub fn client_config_of_authority(pem: &[u8]) -> Result<ClientConfig, TlsError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(pem).filter_map(Result::ok));
    with_roots(roots)
}

/// The client's side towards a stranger: whoever answers is accepted. Only for what the caller knows by its hash and checks against it; a
/// stranger in between can then withhold and cannot alter.
///
/// # Errors
/// [`TlsError::Library`]; does not happen with the compiled-in provider.
pub fn client_config_any_key() -> Result<ClientConfig, TlsError> {
    config_for(None, PEERS)
}

/// The client's side towards a host of the web: certificates of the system's authorities, or of those in a file (PEM) alone.
///
/// # Errors
/// [`TlsError`]: the file cannot be read or holds no certificate, or the system has none.
pub fn web_client_config(ca_file: Option<&Path>) -> Result<ClientConfig, TlsError> {
    match ca_file {
        Some(path) => client_config_of_authority(&read_public_file(path)?),
        None => {
            let mut roots = RootCertStore::empty();
            // Some of a system's files may be no certificate that rustls knows; the others are good.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            with_roots(roots)
        }
    }
}

fn with_roots(roots: RootCertStore) -> Result<ClientConfig, TlsError> {
    if roots.is_empty() {
        return Err(TlsError::Authorities);
    }
    let builder = ClientConfig::builder_with_provider(provider()).with_protocol_versions(DEVICES)?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// What our own processes speak among themselves.
const PEERS: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

/// What devices may speak: many cameras know nothing newer than 1.2.
const DEVICES: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];

fn config_for(pin: Option<[u8; 32]>, versions: &[&'static SupportedProtocolVersion]) -> Result<ClientConfig, TlsError> {
    let provider = provider();
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(PinnedKey { pin, provider }))
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    Ok(config)
}

/// Whether a handshake failed because the other side does not hold the pinned key: it showed another one, or it showed
/// the right certificate and could not sign with its key.
#[must_use]
pub fn is_wrong_key(error: &rustls::Error) -> bool {
    matches!(
        error,
        rustls::Error::InvalidCertificate(
            CertificateError::ApplicationVerificationFailure | CertificateError::BadSignature
        )
    )
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Accepts one key and nothing else; without a pin, any key that the other side can sign with.
#[derive(Debug)]
struct PinnedKey {
    pin: Option<[u8; 32]>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for PinnedKey {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        // Public values on both sides: an ordinary comparison leaks nothing.
        let shown = spki_pin(end_entity)?;
        if self.pin.is_none_or(|pin| pin == shown) {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(rustls::Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        // Without this the pin would only prove that the other side has *seen* the certificate.
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
