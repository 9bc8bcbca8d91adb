//! A throw-away certificate authority for people's certificates.

use std::net::IpAddr;
use std::sync::Arc;

use appproxy::clock::Clock;
use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    PublicKeyData, RevocationReason, RevokedCertParams,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use time::{Duration, OffsetDateTime};

/// A certificate authority that clients of one test trust.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    der: CertificateDer<'static>,
}

/// A certificate with its key, both PEM.
pub(crate) struct Leaf {
    /// The leaf's certificate; the authority's is not in it.
    pub(crate) chain: String,
    /// Its private key.
    pub(crate) key: String,
    /// SHA-256 of the public key, in base64, as Chromium wants it.
    pub(crate) spki: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = params("appproxy tests", Vec::new());
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).unwrap();
        Self {
            pem: certificate.pem(),
            der: certificate.der().clone(),
            issuer: Issuer::new(params, key),
        }
    }

    /// The authority's certificate.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// A server's certificate for these names or addresses.
    pub(crate) fn issue(&self, names: &[&str]) -> Leaf {
        self.issue_with(names, |_| ())
    }

    /// A client's certificate.
    pub(crate) fn issue_client(&self, name: &str) -> Leaf {
        self.issue_with(&[name], |params| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        })
    }

    /// A certificate that differs from a server's in what `change` does.
    pub(crate) fn issue_with(
        &self,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> Leaf {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = params(&names[0], names.clone());
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let spki = digest::digest(&digest::SHA256, &key.subject_public_key_info());
        Leaf {
            chain: certificate.pem(),
            key: key.serialize_pem(),
            spki: BASE64.encode(spki),
        }
    }

    /// A list of revoked certificates by their serial numbers, PEM.
    pub(crate) fn revocation_list(&self, serials: &[u64]) -> String {
        let now = OffsetDateTime::from_unix_timestamp(Clock::system().now().0).unwrap();
        let this_update = now - Duration::hours(1);
        let revoked = serials.iter().map(|&serial| RevokedCertParams {
            serial_number: serial.into(),
            revocation_time: this_update,
            reason_code: Some(RevocationReason::KeyCompromise),
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update,
            next_update: now + Duration::days(7),
            crl_number: 1.into(),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).unwrap().pem().unwrap()
    }

    /// The authorities a server or client may be told to trust: this one.
    pub(crate) fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).unwrap();
        roots
    }

    /// A client's TLS that trusts this authority alone and offers these protocols.
    pub(crate) fn client_config(&self, alpn: &[&str]) -> Arc<ClientConfig> {
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.roots())
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(config)
    }

    /// The same of a client that shows a certificate where it is asked for one.
    pub(crate) fn showing_config(&self, leaf: &Leaf, alpn: &[&str]) -> Arc<ClientConfig> {
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.roots())
            .with_client_auth_cert(leaf.certificates(), leaf.private_key())
            .unwrap();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(config)
    }

    /// A server's TLS with a certificate for these names.
    pub(crate) fn server_config(&self, names: &[&str], alpn: &[&str]) -> Arc<ServerConfig> {
        self.issue(names).server_config(alpn)
    }
}

impl Leaf {
    /// The certificates.
    pub(crate) fn certificates(&self) -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_slice_iter(self.chain.as_bytes())
            .collect::<Result<_, _>>()
            .unwrap()
    }

    /// Its private key.
    pub(crate) fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap()
    }

    /// A server's TLS with this certificate.
    pub(crate) fn server_config(&self, alpn: &[&str]) -> Arc<ServerConfig> {
        let (chain, key) = (self.certificates(), self.private_key());
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(config)
    }

    /// A server's TLS with this certificate that demands one of a client, signed by `authority`.
    pub(crate) fn demanding_config(
        &self,
        authority: &Authority,
        versions: &[&'static SupportedProtocolVersion],
        alpn: &[&str],
    ) -> Arc<ServerConfig> {
        let (chain, key) = (self.certificates(), self.private_key());
        let roots = Arc::new(authority.roots());
        let clients = WebPkiClientVerifier::builder_with_provider(roots, provider());
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .unwrap()
            .with_client_cert_verifier(clients.build().unwrap())
            .with_single_cert(chain, key)
            .unwrap();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(config)
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// What every certificate here has: a name, and dates a browser does not stumble over.
fn params(common_name: &str, names: Vec<String>) -> CertificateParams {
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    let now = OffsetDateTime::from_unix_timestamp(Clock::system().now().0).unwrap();
    params.not_before = now - Duration::hours(1);
    params.not_after = now + Duration::days(30);
    params
}

/// Whether a host of a URL is an address, which has no server name in TLS.
pub(crate) fn is_address(host: &str) -> bool {
    host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
}
