//! Turns a token into a connector's certificate, and an ended certificate into the next one.
//!
//! Read one line, look at the rate, check the request, spend the token, issue, answer. Nothing is
//! written before the token is spent, and spending is idempotent by token and key, so that an
//! answer lost at any point is had again by asking again.

mod late;

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use super::issuer::Issuer;
use crate::certs::{ConnectorRequest, random};
use crate::clock::Clock;
use crate::model::{ConnectorId, Endpoint};
use crate::store::{SpendRefusal, SpendToken, Store};
use crate::telemetry::audit::{Actor, Record};
use crate::telemetry::metrics::ENROLMENTS;
use crate::telemetry::printable;
use crate::tunnel::enrol::{
    Answer, DEADLINE, Enrol, Enrolled, LineError, RefusalCode, Refused, Request, read_line,
    write_line,
};
use crate::tunnel::late::Channel;

/// Attempts of one address: this many at once, and this many a minute in the long run. A token has
/// 256 random bits, so this is about load and logs and not about guessing.
const ATTEMPTS: NonZeroU32 = NonZeroU32::MIN.saturating_add(9);
/// After this many attempts, addresses that are quiet again are forgotten.
const SWEEP: u32 = 1024;
/// The longest host name (RFC 1035 section 2.3.4).
const NAME: usize = 253;

/// The gateway's side of enrolment.
#[derive(Debug)]
pub struct Enrolment {
    issuer: Arc<Issuer>,
    store: Arc<dyn Store>,
    gateways: ArcSwap<Vec<Endpoint>>,
    clock: Clock,
    limiter: DefaultKeyedRateLimiter<IpAddr>,
    attempts: AtomicU32,
    deadline: Duration,
}

impl Enrolment {
    /// Enrols into this store with certificates of this issuer; `gateways` is what connectors are
    /// told to dial.
    #[must_use]
    pub fn new(
        issuer: Arc<Issuer>,
        store: Arc<dyn Store>,
        gateways: Vec<Endpoint>,
        clock: Clock,
    ) -> Self {
        Self {
            issuer,
            store,
            gateways: ArcSwap::from_pointee(gateways),
            clock,
            limiter: RateLimiter::keyed(Quota::per_minute(ATTEMPTS)),
            attempts: AtomicU32::new(0),
            deadline: DEADLINE,
        }
    }

    /// Where connectors dial.
    pub(super) fn gateways(&self) -> Vec<String> {
        let gateways = self.gateways.load();
        gateways.iter().map(ToString::to_string).collect()
    }

    /// Connectors are told to dial these from now on.
    pub(super) fn set_gateways(&self, gateways: Vec<Endpoint>) {
        self.gateways.store(Arc::new(gateways));
    }

    /// Serves one connection whose handshake chose [`crate::tunnel::tls::ALPN_ENROL`], to its end
    /// or the deadline, and logs the outcome. `channel` is what no other connection has.
    pub async fn serve(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin,
        channel: Channel,
        peer: SocketAddr,
    ) {
        match timeout(self.deadline, self.converse(stream, &channel, peer.ip())).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::info!(address = %peer.ip(), %error, "enrolment ended without an answer");
            }
            Err(_) => tracing::info!(
                address = %peer.ip(),
                deadline = ?self.deadline,
                "enrolment ended without an answer: the other end was silent"
            ),
        }
    }

    async fn converse(
        &self,
        mut stream: impl AsyncRead + AsyncWrite + Unpin,
        channel: &Channel,
        address: IpAddr,
    ) -> Result<(), LineError> {
        // Read first even where the answer is known: closing a socket with unread octets resets
        // it, and the answer would be lost.
        let request = read_line(&mut stream).await;
        let answer = if !self.within_rate(address) {
            refuse(
                address,
                None,
                RefusalCode::Throttled,
                "too many attempts from this address: wait a minute",
            )
        } else {
            match request {
                Ok(Request::Enrol(enrol)) => self.enrol(enrol, address).await,
                Ok(Request::RenewLate(asked)) => self.renew_late(asked, channel, address).await,
                Ok(Request::Unknown) => refuse(
                    address,
                    None,
                    RefusalCode::UnknownVerb,
                    "this gateway does not know what it was asked for: update the gateway",
                ),
                Err(error @ LineError::Io(_)) => return Err(error),
                Err(error) => refuse(
                    address,
                    None,
                    RefusalCode::BadRequest,
                    &format!("{error}: is this an appproxy connector?"),
                ),
            }
        };
        write_line(&mut stream, &answer).await?;
        stream.shutdown().await?;
        Ok(())
    }

    fn within_rate(&self, address: IpAddr) -> bool {
        let attempts = self.attempts.fetch_add(1, Ordering::Relaxed);
        if attempts % SWEEP == SWEEP - 1 {
            self.limiter.retain_recent();
        }
        self.limiter.check_key(&source(address)).is_ok()
    }

    async fn enrol(&self, enrol: Enrol, address: IpAddr) -> Answer {
        let token = enrol.secret.id();
        let refuse = |code, message: &str| refuse(address, Some(&token), code, message);
        let request = match enrol.csr_der().map(|der| ConnectorRequest::from_der(&der)) {
            Some(Ok(request)) => request,
            Some(Err(error)) => return refuse(RefusalCode::BadCsr, &error.to_string()),
            None => return refuse(RefusalCode::BadCsr, "the certificate request is not base64"),
        };
        let unavailable = |error: &dyn std::fmt::Display| {
            tracing::error!(code = "unavailable", %error, "a connector cannot be enrolled");
            refuse(
                RefusalCode::Unavailable,
                "the gateway cannot enrol connectors at the moment: try again, and look at its log",
            )
        };
        let id = match random() {
            Ok(octets) => ConnectorId::from_random(octets),
            Err(error) => return unavailable(&error),
        };
        let now = self.clock.now();
        let spent = self.store.spend_token(SpendToken {
            secret_hash: enrol.secret.hash(),
            public_key_hash: request.public_key_hash(),
            id,
            name: printable(&enrol.name, NAME),
            now,
        });
        let connector = match spent.await {
            Ok(Ok(connector)) => connector,
            Ok(Err(refusal)) => {
                let (code, message) = sentence(refusal);
                return refuse(code, message);
            }
            Err(error) => return unavailable(&error),
        };
        let issued = self
            .issuer
            .issue(&request, &connector.id, &connector.group, now);
        let issued = match issued {
            Ok(issued) => issued,
            Err(error) => return unavailable(&error),
        };
        ENROLMENTS.count(&["enrolled"]);
        tracing::info!(
            outcome = "enrolled",
            token,
            connector = %connector.id,
            group = %connector.group,
            name = printable(&enrol.name, NAME),
            version = printable(&enrol.version, NAME),
            %address,
            "enrolment"
        );
        Record::new(
            "connector_enrolled",
            Actor::Connector(connector.id.as_str()),
        )
        .client(address)
        .with("group", connector.group.as_str())
        .with("token", &*token)
        .write();
        Answer::Enrolled(Enrolled {
            chain: issued.pem,
            authorities: self.issuer.authorities().pem(),
            id: connector.id.to_string(),
            group: connector.group.to_string(),
            gateways: self.gateways(),
            time: now.0,
        })
    }
}

/// An answer that says no, logged.
fn refuse(address: IpAddr, token: Option<&str>, code: RefusalCode, message: &str) -> Answer {
    ENROLMENTS.count(&[code.as_str()]);
    let word = code.as_str();
    tracing::warn!(outcome = word, code = word, token, %address, "enrolment");
    Record::new("connector_enrolled", Actor::Nobody)
        .failed()
        .client(address)
        .maybe("token", token)
        .with("code", code.as_str())
        .with("cause", message)
        .write();
    Answer::Refused(Refused {
        code,
        message: message.to_owned(),
    })
}

const fn sentence(refusal: SpendRefusal) -> (RefusalCode, &'static str) {
    match refusal {
        SpendRefusal::Unknown => (
            RefusalCode::TokenUnknown,
            "this gateway has not issued this token: make one with `appproxy gateway token create` there",
        ),
        SpendRefusal::Spent => (
            RefusalCode::TokenSpent,
            "this token has been used: every connector needs a use of its own; make another token",
        ),
        SpendRefusal::Expired => (
            RefusalCode::TokenExpired,
            "this token has expired: make another one, with a longer --ttl if need be",
        ),
        SpendRefusal::Revoked => (
            RefusalCode::TokenRevoked,
            "this token was revoked: ask who runs the gateway for another one",
        ),
        SpendRefusal::Removed => (
            RefusalCode::ConnectorRemoved,
            "this connector was removed at the gateway: make another token and register anew",
        ),
    }
}

/// Who counts as one source: an IPv6 host has a whole /64 to choose from.
fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let network = u128::from(v6) & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from(network))
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use rcgen::KeyPair;
    use tokio::io::{AsyncReadExt as _, DuplexStream, duplex};

    use super::*;
    use crate::certs::{Authorities, Authority, PeerConnector, Pin};
    use crate::config::ConnectorCertificates;
    use crate::gateway::Memory;
    use crate::gateway::renewal::tests::{NOW, csr, enrolled};
    use crate::model::GroupName;
    use crate::store::NewToken;
    use crate::tunnel::enrol::RenewLate;
    use crate::tunnel::token::{Token, TokenSecret};
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;

    struct Rig {
        enrolment: Arc<Enrolment>,
        store: Arc<Memory>,
        clock: Clock,
    }

    fn issuer() -> Issuer {
        let authorities = Authorities::new([Authority::create(NOW).unwrap()]).unwrap();
        Issuer::new(authorities, ConnectorCertificates::default())
    }

    fn rig() -> Rig {
        let clock = Clock::manual(NOW);
        let store = Arc::new(Memory::default());
        let enrolment = Enrolment::new(
            Arc::new(issuer()),
            Arc::clone(&store) as Arc<dyn Store>,
            vec![Endpoint::parse("gw1.example.com:443").unwrap()],
            clock.clone(),
        );
        Rig {
            enrolment: Arc::new(enrolment),
            store,
            clock,
        }
    }

    impl Rig {
        async fn token(&self, uses: u32) -> TokenSecret {
            let gateways = vec![Endpoint::parse("gw1.example.com:443").unwrap()];
            let secret = Token::new(gateways, Pin([0; 32])).unwrap().secret;
            let new = NewToken {
                id: secret.id(),
                secret_hash: secret.hash(),
                group: GroupName::new("hq").unwrap(),
                uses,
                created: NOW,
                expires: NOW.plus(Duration::from_secs(3600)),
            };
            self.store.create_token(new).await.unwrap();
            secret
        }

        async fn ask(&self, request: &Request, from: &str) -> Answer {
            let mut stream = self.open(from);
            write_line(&mut stream, request).await.unwrap();
            read_line(&mut stream).await.unwrap()
        }

        fn open(&self, from: &str) -> DuplexStream {
            let (near, far) = duplex(256 * 1024);
            let peer = SocketAddr::new(from.parse().unwrap(), 1);
            let enrolment = Arc::clone(&self.enrolment);
            tokio::spawn(async move { enrolment.serve(near, Channel::test(1), peer).await });
            far
        }
    }

    fn request(secret: &TokenSecret, csr: &[u8]) -> Request {
        Request::Enrol(Enrol {
            secret: secret.clone(),
            csr: Enrol::encode_csr(csr),
            name: "host\u{1b}[2J".to_owned(),
            version: "0.1.0".to_owned(),
            time: NOW.0,
        })
    }

    fn refused(answer: Answer) -> RefusalCode {
        match answer {
            Answer::Refused(refused) => refused.code,
            Answer::Enrolled(_) | Answer::Renewed(_) => panic!("not refused"),
        }
    }

    #[tokio::test]
    async fn a_token_buys_one_connector_and_a_lost_answer_is_had_again() {
        let rig = rig();
        let secret = rig.token(1).await;
        let key = KeyPair::generate().unwrap();
        let Answer::Enrolled(first) = rig.ask(&request(&secret, &csr(&key)), "192.0.2.1").await
        else {
            panic!("refused");
        };
        let leaf = CertificateDer::from_pem_slice(first.chain.as_bytes()).unwrap();
        let peer = PeerConnector::from_certificate(&leaf).unwrap();
        // What the request named is not in the certificate: the token's group counts.
        assert_eq!((peer.id.as_str(), peer.group.as_str()), (&*first.id, "hq"));
        assert_eq!(first.gateways, ["gw1.example.com:443"]);
        assert_eq!(first.time, NOW.0);
        let record = rig.store.connector(&peer.id).await.unwrap().unwrap();
        assert_eq!(record.name, "host[2J");

        let again = rig.ask(&request(&secret, &csr(&key)), "192.0.2.1").await;
        assert!(matches!(again, Answer::Enrolled(again) if again.id == first.id));
        let other = KeyPair::generate().unwrap();
        let other = rig.ask(&request(&secret, &csr(&other)), "192.0.2.1").await;
        assert_eq!(refused(other), RefusalCode::TokenSpent);
    }

    #[tokio::test]
    async fn every_refusal_has_its_own_code() {
        let rig = rig();
        let key = KeyPair::generate().unwrap();
        let (good, revoked) = (rig.token(1).await, rig.token(1).await);
        let unknown = Token::new((**rig.enrolment.gateways.load()).clone(), Pin([0; 32]))
            .unwrap()
            .secret;
        rig.store.revoke_token(&revoked.id(), NOW).await.unwrap();
        let p384 = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
        let mut forged = csr(&key);
        *forged.last_mut().unwrap() ^= 1;
        for (request, expected) in [
            (request(&unknown, &csr(&key)), RefusalCode::TokenUnknown),
            (request(&revoked, &csr(&key)), RefusalCode::TokenRevoked),
            (request(&good, &csr(&p384)), RefusalCode::BadCsr),
            (request(&good, &forged), RefusalCode::BadCsr),
            (request(&good, b"no request"), RefusalCode::BadCsr),
            (Request::Unknown, RefusalCode::UnknownVerb),
        ] {
            assert_eq!(refused(rig.ask(&request, "192.0.2.1").await), expected);
        }
        rig.clock.advance(Duration::from_secs(3600));
        let late = rig.ask(&request(&good, &csr(&key)), "192.0.2.1").await;
        assert_eq!(refused(late), RefusalCode::TokenExpired);
        assert!(rig.store.connectors().await.unwrap().is_empty());
        rig.store.break_down();
        let broken = rig.ask(&request(&good, &csr(&key)), "192.0.2.1").await;
        assert_eq!(refused(broken), RefusalCode::Unavailable);
    }

    #[tokio::test]
    async fn a_removed_connector_does_not_come_back_with_its_old_key() {
        let rig = rig();
        let secret = rig.token(2).await;
        let key = KeyPair::generate().unwrap();
        rig.ask(&request(&secret, &csr(&key)), "192.0.2.1").await;
        let connector = rig.store.connectors().await.unwrap().remove(0);
        assert!(
            rig.store
                .remove_connector(&connector.id, NOW)
                .await
                .unwrap()
        );
        let again = rig.ask(&request(&secret, &csr(&key)), "192.0.2.1").await;
        assert_eq!(refused(again), RefusalCode::ConnectorRemoved);
    }

    #[tokio::test]
    async fn one_address_has_ten_attempts_a_minute() {
        let rig = rig();
        for host in 1..=10 {
            let code = refused(
                rig.ask(&Request::Unknown, &format!("2001:db8::{host}"))
                    .await,
            );
            assert_eq!(code, RefusalCode::UnknownVerb);
        }
        let secret = rig.token(1).await;
        let good = request(&secret, &csr(&KeyPair::generate().unwrap()));
        let code = refused(rig.ask(&good, "2001:db8::ffff").await);
        assert_eq!(code, RefusalCode::Throttled);
        assert!(matches!(
            rig.ask(&good, "2001:db8:0:1::1").await,
            Answer::Enrolled(_)
        ));
    }

    #[tokio::test]
    async fn a_silent_peer_is_left_after_the_deadline() {
        let mut rig = rig();
        Arc::get_mut(&mut rig.enrolment).unwrap().deadline = Duration::from_millis(20);
        let mut silent = rig.open("192.0.2.1");
        silent.write_all(b"{\"verb\":").await.unwrap();
        assert_eq!(silent.read(&mut [0; 16]).await.unwrap(), 0);
    }

    /// A connector's key and certificate, for late renewal on channel 1.
    struct Old {
        key: KeyPair,
        pem: String,
        end: crate::clock::Timestamp,
    }

    impl Old {
        async fn of(rig: &Rig) -> Self {
            let key = KeyPair::generate().unwrap();
            let issued = enrolled(&rig.store, &rig.enrolment.issuer, &key).await;
            let (pem, end) = (issued.pem, issued.not_after);
            Self { key, pem, end }
        }

        fn ask(&self, prover: &KeyPair, channel: u8, csr_key: &KeyPair) -> Request {
            use rustls::pki_types::PrivatePkcs8KeyDer;
            let key = PrivatePkcs8KeyDer::from(prover.serialize_der()).into();
            let proof = Channel::test(channel).prove(&key).unwrap();
            Request::RenewLate(RenewLate {
                chain: self.pem.clone(),
                csr: Enrol::encode_csr(&csr(csr_key)),
                proof: Enrol::encode_csr(&proof),
                version: "0.1.0".to_owned(),
                time: NOW.0,
            })
        }
    }

    #[tokio::test]
    async fn an_ended_certificate_is_renewed_by_proof_of_its_key_within_the_grace() {
        let rig = rig();
        let old = Old::of(&rig).await;
        let good = || old.ask(&old.key, 1, &old.key);
        let grace = rig.enrolment.issuer.grace();
        // Also before its end: the clock of the connector may be ahead.
        let end = Duration::from_secs(old.end.0.abs_diff(NOW.0));
        for wait in [Duration::ZERO, end + Duration::from_secs(1), grace] {
            rig.clock.advance(wait);
            if wait == grace {
                let late = refused(rig.ask(&good(), "192.0.2.1").await);
                assert_eq!(late, RefusalCode::RenewalTooLate);
                continue;
            }
            let Answer::Renewed(renewed) = rig.ask(&good(), "192.0.2.1").await else {
                panic!("refused after {wait:?}");
            };
            let leaf = CertificateDer::from_pem_slice(renewed.chain.as_bytes()).unwrap();
            let peer = PeerConnector::from_certificate(&leaf).unwrap();
            assert_eq!(peer.not_after.0, rig.clock.now().0 + 90 * 86_400);
            assert_eq!(renewed.authorities.len(), 1);
            assert_eq!(renewed.gateways, ["gw1.example.com:443"]);
        }
    }

    #[tokio::test]
    async fn a_late_renewal_that_proves_nothing_is_refused_with_its_own_code() {
        let rig = rig();
        let old = Old::of(&rig).await;
        let thief = KeyPair::generate().unwrap();
        let elsewhere = self::rig();
        let foreign = Old::of(&elsewhere).await;
        let gateway = rig.enrolment.issuer.authorities();
        let gateway = gateway.issuing().issue_gateway(NOW).unwrap();
        let mut posing = old.ask(&old.key, 1, &old.key);
        if let Request::RenewLate(asked) = &mut posing {
            asked.chain = pem(&gateway.cert[0]);
        }
        let mut broken = old.ask(&old.key, 1, &old.key);
        if let Request::RenewLate(asked) = &mut broken {
            asked.chain = "no certificate".to_owned();
        }
        let mut seen = 0;
        for (request, expected) in [
            (old.ask(&thief, 1, &old.key), RefusalCode::BadProof),
            (old.ask(&old.key, 2, &old.key), RefusalCode::BadProof),
            (old.ask(&old.key, 1, &thief), RefusalCode::BadCsr),
            (
                foreign.ask(&foreign.key, 1, &foreign.key),
                RefusalCode::CertificateUnknown,
            ),
            (posing, RefusalCode::BadRequest),
            (broken, RefusalCode::BadRequest),
        ] {
            assert_eq!(refused(rig.ask(&request, "192.0.2.1").await), expected);
            seen += 1;
        }
        assert_eq!(seen, 6);
        let good = old.ask(&old.key, 1, &old.key);
        let id = rig.store.connectors().await.unwrap().remove(0).id;
        rig.store.remove_connector(&id, NOW).await.unwrap();
        let removed = refused(rig.ask(&good, "192.0.2.1").await);
        assert_eq!(removed, RefusalCode::ConnectorRemoved);
        rig.store.break_down();
        let broken = refused(rig.ask(&good, "192.0.2.1").await);
        assert_eq!(broken, RefusalCode::Unavailable);
    }

    fn pem(der: &[u8]) -> String {
        let body = Enrol::encode_csr(der);
        format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
    }

    #[tokio::test]
    async fn a_line_without_end_is_refused() {
        let rig = rig();
        let mut stream = rig.open("192.0.2.1");
        stream.write_all(&vec![b'a'; 70_000]).await.unwrap();
        let answer: Answer = read_line(&mut stream).await.unwrap();
        assert_eq!(refused(answer), RefusalCode::BadRequest);
    }
}
