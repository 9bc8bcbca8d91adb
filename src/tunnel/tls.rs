//! TLS of the tunnel and of enrolment: 1.3 only, nothing resumed, and each end demands the other's
//! role of our own authority.
//!
//! ```text
//!             appproxy/1                          appproxy-enrol/1
//! gateway     leaf of our authority, servers      the same leaf
//! connector   leaf of our authority, clients      none: the token is its proof, or the old key
//! checked by  gateway: chain, role, names         –
//!             connector: chain to an authority    chain to an authority with the token's pin, or
//!             it keeps, role, the fixed name      to one it keeps; role, the fixed name
//! ```
//!
//! While a rotation is under way there are two authorities: the connector names those it trusts, and
//! the gateway shows the leaf of the newest among them.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
#[cfg(test)]
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use super::hint::ByAuthority;
pub use super::verify::GatewayRefusal;
use super::verify::{ConnectorVerifier, GatewayVerifier, Trust};
pub use crate::certs::GATEWAY_NAME;
use crate::certs::{Authorities, Authority, AuthorityError, GATEWAY_LIFE, Pin, provider};
use crate::clock::Timestamp;

/// The protocol of tunnels, in the ClientHello's ALPN.
pub const ALPN_TUNNEL: &[u8] = b"appproxy/1";
/// The protocol of enrolment.
pub const ALPN_ENROL: &[u8] = b"appproxy-enrol/1";

/// The gateway's own certificates are issued anew after so many seconds.
const DAILY: i64 = 24 * 3600;

/// So many seconds a clock that is set back may have been ahead: they are dated back by more.
const AHEAD: i64 = 60;

/// The gateway's side, with a certificate that is issued anew while it runs. A listener asks for
/// the configuration at each handshake, so a new certificate counts from the next one on.
#[derive(Debug)]
pub struct GatewayTls {
    current: ArcSwap<Configs>,
}

#[derive(Debug)]
struct Configs {
    tunnel: Arc<ServerConfig>,
    enrol: Arc<ServerConfig>,
    ends: Timestamp,
}

impl GatewayTls {
    /// Issues the first certificates, one of each authority.
    ///
    /// # Errors
    /// Where an authority cannot issue it.
    pub fn new(authorities: &Authorities, now: Timestamp) -> Result<Self, AuthorityError> {
        let current = ArcSwap::from_pointee(Configs::issue(authorities, now)?);
        Ok(Self { current })
    }

    /// Whether they should be issued anew: once a day, and where the clock was ahead when they were,
    /// so that nobody takes them for good yet.
    #[must_use]
    pub fn are_due(&self, now: Timestamp) -> bool {
        let fresh = now.plus(GATEWAY_LIFE).0;
        let ends = self.ends().0;
        ends > fresh + AHEAD || ends <= fresh - DAILY
    }

    /// Issues the certificates anew: where they are due, and where the authorities are others. The
    /// old ones stay where this fails.
    ///
    /// # Errors
    /// Where an authority cannot issue it.
    pub fn renew(&self, authorities: &Authorities, now: Timestamp) -> Result<(), AuthorityError> {
        self.current
            .store(Arc::new(Configs::issue(authorities, now)?));
        Ok(())
    }

    /// For a ClientHello that offers [`ALPN_TUNNEL`].
    #[must_use]
    pub fn tunnel(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.load().tunnel)
    }

    /// When the certificates in use end.
    #[must_use]
    pub fn ends(&self) -> Timestamp {
        self.current.load().ends
    }

    /// For a ClientHello that offers [`ALPN_ENROL`].
    #[must_use]
    pub fn enrol(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.load().enrol)
    }
}

impl Configs {
    fn issue(authorities: &Authorities, now: Timestamp) -> Result<Self, AuthorityError> {
        let issue = |a: &Arc<Authority>| a.issue_gateway(now).map(|leaf| (a.pin(), leaf));
        let leaves: Vec<_> = authorities.iter().map(issue).collect::<Result<_, _>>()?;
        let resolver = Arc::new(ByAuthority::new(leaves));
        let roots = authorities.iter().map(|a| a.certificate().clone());
        Ok(Self {
            tunnel: Arc::new(tunnel_config(
                roots,
                Arc::clone(&resolver) as Arc<dyn ResolvesServerCert>,
            )?),
            enrol: Arc::new(enrol_config(resolver)?),
            ends: now.plus(GATEWAY_LIFE),
        })
    }
}

/// The gateway's end of a tunnel: demands a connector's certificate of this authority.
///
/// # Errors
/// Where the authority's certificate cannot be a trust anchor.
#[cfg(test)]
pub(crate) fn gateway_tunnel(
    authority: &Authority,
    leaf: Arc<CertifiedKey>,
) -> Result<ServerConfig, rustls::Error> {
    let roots = [authority.certificate().clone()];
    tunnel_config(roots, Arc::new(SingleCertAndKey::from(leaf)))
}

fn tunnel_config(
    authorities: impl IntoIterator<Item = CertificateDer<'static>>,
    leaf: Arc<dyn ResolvesServerCert>,
) -> Result<ServerConfig, rustls::Error> {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(authority)?;
    }
    let chain = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
        .build()
        .map_err(|e| rustls::Error::General(e.to_string()))?;
    let config = server()?
        .with_client_cert_verifier(Arc::new(ConnectorVerifier { chain }))
        .with_cert_resolver(leaf);
    Ok(without_resumption(config, ALPN_TUNNEL))
}

/// The gateway's end of an enrolment: asks for no certificate.
///
/// # Errors
/// Where the cryptographic library cannot do TLS 1.3.
#[cfg(test)]
pub(crate) fn gateway_enrol(leaf: Arc<CertifiedKey>) -> Result<ServerConfig, rustls::Error> {
    enrol_config(Arc::new(SingleCertAndKey::from(leaf)))
}

fn enrol_config(leaf: Arc<dyn ResolvesServerCert>) -> Result<ServerConfig, rustls::Error> {
    let config = server()?.with_no_client_auth().with_cert_resolver(leaf);
    Ok(without_resumption(config, ALPN_ENROL))
}

fn server() -> Result<rustls::ConfigBuilder<ServerConfig, rustls::WantsVerifier>, rustls::Error> {
    ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
}

/// SECURITY: a ticket would let a removed connector come back without showing its certificate.
fn without_resumption(mut config: ServerConfig, alpn: &[u8]) -> ServerConfig {
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.max_early_data_size = 0;
    config.alpn_protocols = vec![alpn.to_vec()];
    config
}

/// What a connector keeps from its enrolment.
#[derive(Debug)]
pub struct Credentials {
    /// Its certificate, and intermediates if there are any.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its private key.
    pub key: PrivateKeyDer<'static>,
    /// The authorities' certificates, the one that issues first; at least one.
    pub authorities: Vec<CertificateDer<'static>>,
}

impl Clone for Credentials {
    fn clone(&self) -> Self {
        Self {
            chain: self.chain.clone(),
            key: self.key.clone_key(),
            authorities: self.authorities.clone(),
        }
    }
}

/// The connector's end of a tunnel. The name it dials is sent as SNI and proves nothing; the
/// gateway must show a server's certificate of a kept authority for [`GATEWAY_NAME`].
///
/// # Errors
/// Where the credentials do not fit together.
pub fn connector_tunnel(credentials: &Credentials) -> Result<ClientConfig, rustls::Error> {
    let own = credentials.clone();
    let config =
        client(Trust::Authorities(own.authorities))?.with_client_auth_cert(own.chain, own.key)?;
    Ok(without_resuming(config, ALPN_TUNNEL))
}

/// The connector's end of an enrolment: all it knows of the gateway is the pin in its token.
///
/// # Errors
/// Where the cryptographic library cannot do TLS 1.3.
pub fn connector_enrol(pin: Pin) -> Result<ClientConfig, rustls::Error> {
    let config = client(Trust::Pin(pin))?.with_no_client_auth();
    Ok(without_resuming(config, ALPN_ENROL))
}

/// The connector's end of a late renewal: no certificate, since its own has ended, and the
/// authorities it keeps.
///
/// # Errors
/// Where the cryptographic library cannot do TLS 1.3.
pub fn connector_late(
    authorities: Vec<CertificateDer<'static>>,
) -> Result<ClientConfig, rustls::Error> {
    let config = client(Trust::Authorities(authorities))?.with_no_client_auth();
    Ok(without_resuming(config, ALPN_ENROL))
}

fn client(
    trust: Trust,
) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>, rustls::Error> {
    let verifier = GatewayVerifier::new(trust);
    Ok(ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier)))
}

fn without_resuming(mut config: ClientConfig, alpn: &[u8]) -> ClientConfig {
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    config.alpn_protocols = vec![alpn.to_vec()];
    config
}

#[cfg(test)]
mod tests {
    use std::io;

    use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
    use rustls::pki_types::{PrivatePkcs8KeyDer, ServerName};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio_rustls::{TlsAcceptor, TlsConnector};

    use super::*;
    use crate::certs::{ConnectorRequest, PeerConnector};
    use crate::clock::Clock;
    use crate::model::{ConnectorId, GroupName};

    const DAYS: std::time::Duration = std::time::Duration::from_secs(24 * 60 * 60);

    fn now() -> Timestamp {
        Clock::system().now()
    }

    fn authority() -> Authority {
        Authority::create(now()).unwrap()
    }

    fn id() -> ConnectorId {
        ConnectorId::new("c012345678901234567890123").unwrap()
    }

    fn connector(authority: &Authority, at: Timestamp) -> Credentials {
        let key = KeyPair::generate().unwrap();
        let csr = CertificateParams::default()
            .serialize_request(&key)
            .unwrap();
        let request = ConnectorRequest::from_der(csr.der()).unwrap();
        let group = GroupName::new("hq").unwrap();
        let issued = authority
            .issue_connector(&request, &id(), &group, at, DAYS * 90)
            .unwrap();
        Credentials {
            chain: vec![issued.certificate],
            key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
            authorities: vec![authority.certificate().clone()],
        }
    }

    /// A leaf of `authority` with whatever `change` makes of a gateway's.
    #[test]
    fn the_gateways_certificates_are_due_daily_and_where_the_clock_was_ahead() {
        let now = Timestamp(1_800_000_000);
        let authority = Authority::create(now).unwrap();
        let authorities = Authorities::new(vec![authority]).unwrap();
        let tls = GatewayTls::new(&authorities, now).unwrap();
        let day = 24 * 3600;
        for (at, due) in [
            (0, false),
            (day - 1, false),
            (day, true),
            (400 * day, true),
            (-60, false),
            (-61, true),
            (-400 * day, true),
        ] {
            assert_eq!(tls.are_due(Timestamp(now.0 + at)), due, "{at}");
        }
        tls.renew(&authorities, Timestamp(now.0 - 3600)).unwrap();
        assert!(!tls.are_due(Timestamp(now.0 - 3600)));
    }

    fn odd_leaf(authority: &Authority, change: impl FnOnce(&mut CertificateParams)) -> Credentials {
        let ca_key = KeyPair::from_pem(secrecy::ExposeSecret::expose_secret(&authority.key_pem()));
        let issuer = Issuer::from_ca_cert_der(authority.certificate(), ca_key.unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![GATEWAY_NAME.to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        change(&mut params);
        Credentials {
            chain: vec![
                params.signed_by(&key, &issuer).unwrap().der().clone(),
                authority.certificate().clone(),
            ],
            key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
            authorities: vec![authority.certificate().clone()],
        }
    }

    fn as_server(credentials: Credentials) -> Arc<CertifiedKey> {
        let key = CertifiedKey::from_der(credentials.chain, credentials.key, &provider());
        Arc::new(key.unwrap())
    }

    type Outcome = (io::Result<PeerConnector>, io::Result<()>);

    /// Handshakes over a pipe and passes an octet each way, so that both ends learn the verdict.
    async fn handshake(server: ServerConfig, client: ClientConfig) -> Outcome {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let accept = async move {
            let mut tls = TlsAcceptor::from(Arc::new(server)).accept(near).await?;
            let peer = tls
                .get_ref()
                .1
                .peer_certificates()
                .and_then(|chain| PeerConnector::from_certificate(chain.first()?).ok());
            tls.write_all(b"!").await?;
            tls.read_u8().await?;
            peer.ok_or_else(|| io::Error::other("no certificate"))
        };
        let dial = async move {
            let name = ServerName::try_from("gw1.example.com").unwrap();
            let mut tls = TlsConnector::from(Arc::new(client))
                .connect(name, far)
                .await?;
            tls.write_all(b"?").await?;
            tls.read_u8().await.map(drop)
        };
        tokio::join!(accept, dial)
    }

    fn refusal(outcome: &Outcome) -> GatewayRefusal {
        assert!(outcome.0.is_err());
        let error = outcome.1.as_ref().unwrap_err();
        GatewayRefusal::of(error)
            .unwrap_or_else(|| panic!("another error: {error}"))
            .clone()
    }

    #[tokio::test]
    async fn a_connector_and_its_gateway_know_one_another() {
        let authorities = Authorities::new([authority()]).unwrap();
        let tls = GatewayTls::new(&authorities, now()).unwrap();
        let client = connector_tunnel(&connector(authorities.issuing(), now())).unwrap();
        let (peer, done) = handshake(Arc::unwrap_or_clone(tls.tunnel()), client.clone()).await;
        done.unwrap();
        let peer = peer.unwrap();
        assert_eq!((peer.id, peer.group.as_str()), (id(), "hq"));
        tls.renew(&authorities, now()).unwrap();
        let (peer, _) = handshake(Arc::unwrap_or_clone(tls.tunnel()), client).await;
        assert_eq!(peer.unwrap().id, id());
    }

    #[tokio::test]
    async fn a_connector_cannot_pose_as_a_gateway() {
        let authority = authority();
        let posing = as_server(connector(&authority, now()));
        let server = gateway_tunnel(&authority, posing).unwrap();
        let client = connector_tunnel(&connector(&authority, now())).unwrap();
        assert_eq!(
            refusal(&handshake(server, client).await),
            GatewayRefusal::Role
        );
    }

    #[tokio::test]
    async fn a_gateways_certificate_must_have_the_role_and_the_name() {
        let authority = authority();
        let cases: [fn(&mut CertificateParams); 4] = [
            |p| p.extended_key_usages.clear(),
            |p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::Any],
            |p| p.subject_alt_names.clear(),
            |p| p.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained),
        ];
        for change in cases {
            let leaf = as_server(odd_leaf(&authority, change));
            let client = connector_tunnel(&connector(&authority, now())).unwrap();
            let server = gateway_tunnel(&authority, leaf).unwrap();
            assert_eq!(
                refusal(&handshake(server, client).await),
                GatewayRefusal::Role
            );
        }
    }

    #[tokio::test]
    async fn another_installations_gateway_is_told_from_a_device_on_the_way() {
        let (own, other) = (authority(), authority());
        let leaf = other.issue_gateway(now()).unwrap();
        let client = connector_tunnel(&connector(&own, now())).unwrap();
        let outcome = handshake(gateway_tunnel(&other, leaf).unwrap(), client.clone()).await;
        assert_eq!(refusal(&outcome), GatewayRefusal::OtherAuthority);

        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["gw1.example.com".to_owned()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, "Insp\u{1b}[2Jector\n");
        let der = params.self_signed(&key).unwrap().der().clone();
        let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        let leaf = CertifiedKey::from_der(vec![der], key, &provider()).unwrap();
        let outcome = handshake(gateway_tunnel(&own, Arc::new(leaf)).unwrap(), client).await;
        // What it calls itself is shown, and does nothing on a terminal.
        let issuer = "CN=Insp[2Jector".to_owned();
        assert_eq!(refusal(&outcome), GatewayRefusal::Foreign { issuer });
    }

    #[tokio::test]
    async fn an_expired_gateway_is_refused() {
        let authority = authority();
        let client = connector_tunnel(&connector(&authority, now())).unwrap();
        let (past, future) = (now().minus(DAYS * 31), now().plus(DAYS));
        let backdated = std::time::Duration::from_secs(300);
        for (at, expected) in [
            (past, GatewayRefusal::Expired(past.plus(DAYS * 30))),
            (future, GatewayRefusal::NotYetValid(future.minus(backdated))),
        ] {
            let leaf = authority.issue_gateway(at).unwrap();
            let server = gateway_tunnel(&authority, leaf).unwrap();
            assert_eq!(refusal(&handshake(server, client.clone()).await), expected);
        }
    }

    #[tokio::test]
    async fn a_gateway_refuses_who_is_no_connector_of_its_own() {
        let (own, other) = (authority(), authority());
        let gateway_leaf = odd_leaf(&own, |_| ());
        let both = odd_leaf(&own, |p| {
            p.extended_key_usages
                .push(ExtendedKeyUsagePurpose::ClientAuth);
        });
        let nameless = odd_leaf(&own, |p| {
            p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            p.subject_alt_names.clear();
        });
        let mut foreign = connector(&other, now());
        foreign.authorities = vec![own.certificate().clone()];
        let expired = connector(&own, now().minus(DAYS * 91));
        for credentials in [gateway_leaf, both, nameless, foreign, expired] {
            let server = gateway_tunnel(&own, own.issue_gateway(now()).unwrap()).unwrap();
            let client = connector_tunnel(&credentials).unwrap();
            let (accepted, dialled) = handshake(server, client).await;
            assert!(accepted.is_err());
            // In TLS 1.3 the client hears of it with its first read.
            assert!(dialled.is_err());
        }
        let server = gateway_tunnel(&own, own.issue_gateway(now()).unwrap()).unwrap();
        let mut anonymous = connector_enrol(own.pin()).unwrap();
        anonymous.alpn_protocols = vec![ALPN_TUNNEL.to_vec()];
        assert!(handshake(server, anonymous).await.0.is_err());
    }

    #[tokio::test]
    async fn enrolment_trusts_the_pin_and_nothing_else() {
        let (own, other) = (authority(), authority());
        let server = || gateway_enrol(own.issue_gateway(now()).unwrap()).unwrap();
        let outcome = handshake(server(), connector_enrol(own.pin()).unwrap()).await;
        outcome.1.unwrap();

        let outcome = handshake(server(), connector_enrol(other.pin()).unwrap()).await;
        assert_eq!(refusal(&outcome), GatewayRefusal::OtherAuthority);

        // A pinned authority in the chain is worth nothing unless it issued the leaf.
        let mut mixed = odd_leaf(&other, |_| ());
        mixed.chain[1] = own.certificate().clone();
        let server = gateway_enrol(as_server(mixed)).unwrap();
        let outcome = handshake(server, connector_enrol(own.pin()).unwrap()).await;
        assert_eq!(refusal(&outcome), GatewayRefusal::OtherAuthority);

        let posing = connector(&own, now());
        let mut chain = posing.chain.clone();
        chain.push(own.certificate().clone());
        let server = gateway_enrol(as_server(Credentials { chain, ..posing })).unwrap();
        let outcome = handshake(server, connector_enrol(own.pin()).unwrap()).await;
        assert_eq!(refusal(&outcome), GatewayRefusal::Role);
    }

    #[tokio::test]
    async fn while_two_authorities_overlap_everybody_meets_one_it_trusts() {
        let (old, new) = (authority(), authority());
        let both = [old.certificate().clone(), new.certificate().clone()];
        let (old_pin, new_pin) = (old.pin(), new.pin());
        let (mut by_old, mut by_new) = (connector(&old, now()), connector(&new, now()));
        let only_old = connector_tunnel(&by_old).unwrap();
        let only_new = connector_tunnel(&by_new).unwrap();
        by_old.authorities = both.to_vec();
        by_new.authorities = both.to_vec();
        let overlap = Authorities::new([new, old]).unwrap();
        let tls = GatewayTls::new(&overlap, now()).unwrap();
        let mut seen = 0;
        for client in [
            only_old,
            only_new.clone(),
            connector_tunnel(&by_old).unwrap(),
            connector_tunnel(&by_new).unwrap(),
        ] {
            let outcome = handshake(Arc::unwrap_or_clone(tls.tunnel()), client).await;
            assert_eq!(outcome.0.unwrap().id, id());
            outcome.1.unwrap();
            seen += 1;
        }
        assert_eq!(seen, 4);
        for pin in [old_pin, new_pin] {
            let client = connector_enrol(pin).unwrap();
            let outcome = handshake(Arc::unwrap_or_clone(tls.enrol()), client).await;
            outcome.1.unwrap();
        }
        let client = connector_late(by_old.authorities.clone()).unwrap();
        let outcome = handshake(Arc::unwrap_or_clone(tls.enrol()), client).await;
        outcome.1.unwrap();

        // The old one is dropped: its certificates are worth nothing, and its pin neither.
        let after = Authorities::new([Authority::from_pem(
            &overlap.issuing().certificate_pem(),
            &overlap.issuing().key_pem(),
        )
        .unwrap()])
        .unwrap();
        tls.renew(&after, now()).unwrap();
        let client = connector_tunnel(&by_old).unwrap();
        let outcome = handshake(Arc::unwrap_or_clone(tls.tunnel()), client).await;
        assert!(outcome.0.is_err() && outcome.1.is_err());
        let client = connector_enrol(old_pin).unwrap();
        let outcome = handshake(Arc::unwrap_or_clone(tls.enrol()), client).await;
        assert_eq!(refusal(&outcome), GatewayRefusal::OtherAuthority);
        let outcome = handshake(Arc::unwrap_or_clone(tls.tunnel()), only_new).await;
        outcome.1.unwrap();
    }

    #[tokio::test]
    async fn tls_1_2_and_other_protocols_are_refused() {
        let authority = authority();
        let leaf = authority.issue_gateway(now()).unwrap();
        let config = gateway_enrol(Arc::clone(&leaf)).unwrap();
        assert_eq!(
            (config.send_tls13_tickets, config.max_early_data_size),
            (0, 0)
        );
        let old = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS12])
            .unwrap()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        assert!(handshake(config, old).await.0.is_err());
        let mut client = connector_enrol(authority.pin()).unwrap();
        client.alpn_protocols = vec![b"h2".to_vec()];
        assert!(
            handshake(gateway_enrol(leaf).unwrap(), client)
                .await
                .0
                .is_err()
        );
    }

    #[test]
    fn credentials_do_not_print_the_key() {
        let own = connector(&authority(), now());
        let text = format!("{own:?}");
        assert!(
            text.contains("elided") || text.contains("redacted"),
            "{text}"
        );
    }
}
