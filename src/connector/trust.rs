//! TLS with applications: whom to trust, what to ask for, what to show. All of it is the connector's
//! own configuration; nothing a gateway says changes it.

use std::fmt;
use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, WebPkiServerVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::refusal::{Refusal, Source, authority_name, pin_of};
use crate::certs::{self, provider};
use crate::clock::Timestamp;
use crate::config::{BackendTls, SpkiPin, Validate};
use crate::model::{BackendProtocol, Endpoint, Finding, Host};

/// How applications are known over TLS, ready for use.
#[derive(Debug)]
pub struct BackendTrust {
    /// In order: the first that names a target counts.
    entries: Vec<(BackendTls, Terms)>,
    usual: Terms,
}

/// The terms of TLS with some targets.
#[derive(Debug)]
pub(super) struct Terms {
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
    /// In place of the target's own.
    name: Option<ServerName<'static>>,
    /// Whether there is a certificate to show.
    pub(super) shows: bool,
    pub(super) source: Source,
}

impl BackendTrust {
    /// Reads the files that `backend_tls` names. What will be a problem later is logged.
    ///
    /// # Errors
    /// Everything that keeps the files from being used, each at the place that names it.
    pub fn load(entries: &[BackendTls], now: Timestamp) -> Result<Self, Vec<Finding>> {
        let system = certs::system_roots();
        let (mut loaded, mut found) = (Vec::new(), Vec::new());
        for entry in entries {
            match Terms::load(entry, &system, now) {
                Ok(terms) => loaded.push((entry.clone(), terms)),
                Err(faults) => found.extend(faults),
            }
        }
        if !found.is_empty() {
            return Err(found);
        }
        let verifier = Verifier::new(Some(&system), Validate::Certificate, Vec::new());
        let verifier = verifier.map_err(|e| vec![unusable(&e)])?;
        let usual = Terms::new(verifier, None, None, Source::default());
        Ok(Self {
            entries: loaded,
            usual: usual.map_err(|e| vec![unusable(&e.to_string())])?,
        })
    }

    /// The terms for a target.
    pub(super) fn terms(&self, target: &Endpoint) -> &Terms {
        let entry = self.entries.iter().find(|(entry, _)| entry.is_for(target));
        entry.map_or(&self.usual, |(_, terms)| terms)
    }
}

impl Terms {
    fn load(
        entry: &BackendTls,
        system: &Arc<RootCertStore>,
        now: Timestamp,
    ) -> Result<Self, Vec<Finding>> {
        let roots = match &entry.ca {
            Some(ca) => certs::load_authorities(&ca.file, &ca.place).map(Arc::new),
            None => Ok(Arc::clone(system)),
        };
        let client = entry.client_certificate.as_ref();
        let client = client
            .map(|files| {
                let password = files.read_password()?;
                certs::load_client(files, password.as_ref(), now)
            })
            .transpose();
        let (roots, client) = match (roots, client) {
            (Ok(roots), Ok(client)) => (roots, client),
            (roots, client) => {
                let mut found: Vec<_> = roots.err().map(|f| *f).into_iter().collect();
                found.extend(client.err().into_iter().flatten());
                return Err(found);
            }
        };
        for warning in client.iter().flat_map(|client| &client.warnings) {
            tracing::warn!(code = warning.code, "{warning}");
        }
        if entry.validate == Validate::Nothing {
            tracing::warn!(
                code = "not_validated",
                "{}: the certificates of these applications are not validated: whoever answers is believed",
                entry.place
            );
        }
        let at_entry = |why: &str| vec![unusable(why).at(entry.place.clone())];
        let name = entry.server_name.as_ref().map(server_name).transpose();
        let roots = (entry.validate == Validate::Certificate).then_some(&roots);
        let verifier = Verifier::new(roots, entry.validate, entry.pins.clone());
        let source = Source {
            place: Some(entry.place.clone()),
            ca: entry.ca.as_ref().map(|ca| ca.file.clone()),
        };
        Self::new(
            verifier.map_err(|e| at_entry(&e))?,
            client.map(|client| client.key),
            name.map_err(|e| at_entry(&e))?,
            source,
        )
        .map_err(|e| at_entry(&e.to_string()))
    }

    fn new(
        verifier: Verifier,
        client: Option<Arc<CertifiedKey>>,
        name: Option<ServerName<'static>>,
        source: Source,
    ) -> Result<Self, rustls::Error> {
        let shows = client.is_some();
        let http1 = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_cert_resolver(Arc::new(Shown(client)));
        let alpn = |protocols: &[&str]| {
            let mut config = http1.clone();
            config.alpn_protocols = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
            Arc::new(config)
        };
        Ok(Self {
            http2: alpn(&["h2", "http/1.1"]),
            http1: alpn(&["http/1.1"]),
            name,
            shows,
            source,
        })
    }

    /// What a handshake offers, and the name it asks for.
    pub(super) fn offer(
        &self,
        target: &Endpoint,
        protocol: BackendProtocol,
    ) -> Result<(Arc<ClientConfig>, ServerName<'static>), String> {
        let name = match &self.name {
            Some(name) => name.clone(),
            None => server_name(&target.host)?,
        };
        let config = match protocol {
            BackendProtocol::Http1 => &self.http1,
            BackendProtocol::Http2 => &self.http2,
        };
        Ok((Arc::clone(config), name))
    }
}

fn unusable(why: &str) -> Finding {
    Finding::error(
        "backend_tls",
        format!("TLS with applications cannot be set up: {why}"),
        "check the certificates this entry names",
    )
}

fn server_name(host: &Host) -> Result<ServerName<'static>, String> {
    match host {
        Host::Name(name) => ServerName::try_from(name.to_string())
            .map_err(|e| format!("`{name}` cannot be asked for in TLS: {e}")),
        Host::Address(address) => Ok(ServerName::from(*address)),
    }
}

tokio::task_local! {
    /// What the application asks for in the handshake that runs in this task. The configuration that
    /// rustls asks for a certificate is shared by all handshakes, or none could resume another.
    pub(super) static ASKED: Arc<Asked>;
}

/// Whether an application asked for a client certificate, and whose.
#[derive(Debug, Default)]
pub(super) struct Asked(OnceLock<Vec<String>>);

impl Asked {
    /// The names of the issuers it accepts; an empty list where it does not say. `None` where it did
    /// not ask.
    pub(super) fn issuers(&self) -> Option<&[String]> {
        self.0.get().map(Vec::as_slice)
    }
}

/// What is shown to an application that asks for a certificate.
#[derive(Debug)]
struct Shown(Option<Arc<CertifiedKey>>);

impl ResolvesClientCert for Shown {
    fn resolve(&self, issuers: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let _ = ASKED.try_with(|asked| {
            let issuers = issuers.iter().take(8);
            asked
                .0
                .set(issuers.filter_map(|i| authority_name(i)).collect())
        });
        // One of another issuer is shown all the same: the application says best what it dislikes.
        let key = self.0.as_ref()?;
        key.key.choose_scheme(schemes).map(|_| Arc::clone(key))
    }

    fn has_certs(&self) -> bool {
        // Also without one: what the application asked for is worth knowing.
        true
    }
}

/// Judges what an application presents.
struct Verifier {
    /// `None` where issuer, dates and name do not count.
    chain: Option<Arc<WebPkiServerVerifier>>,
    pins: Vec<SpkiPin>,
    validate: Validate,
    algorithms: WebPkiSupportedAlgorithms,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("validate", &self.validate)
            .field("pins", &self.pins)
            .finish_non_exhaustive()
    }
}

impl Verifier {
    fn new(
        roots: Option<&Arc<RootCertStore>>,
        validate: Validate,
        pins: Vec<SpkiPin>,
    ) -> Result<Self, String> {
        let provider = provider();
        let algorithms = provider.signature_verification_algorithms;
        let chain = roots.map(|roots| {
            WebPkiServerVerifier::builder_with_provider(Arc::clone(roots), provider).build()
        });
        Ok(Self {
            chain: chain.transpose().map_err(|e| e.to_string())?,
            pins,
            validate,
            algorithms,
        })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Some(chain) = &self.chain {
            let verified = chain.verify_server_cert(leaf, rest, name, ocsp, now);
            verified.map_err(|error| match error {
                rustls::Error::InvalidCertificate(error) => Refusal::new(error, leaf).into(),
                error => error,
            })?;
        }
        if !self.pins.is_empty() {
            let Some(pin) = pin_of(leaf) else {
                return Err(Refusal::Other("it cannot be understood".to_owned()).into());
            };
            if !self.pins.contains(&pin) {
                return Err(Refusal::Pin(pin).into());
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        if self.validate == Validate::Nothing {
            // Old devices have certificates that cannot even be read. A signature by a key that
            // nobody knows proves nothing.
            return Ok(HandshakeSignatureValid::assertion());
        }
        verify_tls12_signature(message, leaf, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        if self.validate == Validate::Nothing {
            return Ok(HandshakeSignatureValid::assertion());
        }
        verify_tls13_signature(message, leaf, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
