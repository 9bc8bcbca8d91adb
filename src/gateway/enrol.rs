//! Turns a token into a connector's certificate.
//!
//! Read one line, look at the rate, check the request, spend the token, issue, answer. Nothing is
//! written before the token is spent, and spending is idempotent by token and key, so that an
//! answer lost at any point is had again by asking again.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use crate::certs::{Authority, AuthorityError, ConnectorRequest, random};
use crate::clock::{Clock, Timestamp};
use crate::model::{ConnectorId, Endpoint};
use crate::store::{AuthorityRecord, SpendRefusal, SpendToken, Store, StoreError};
use crate::telemetry::printable;
use crate::tunnel::enrol::{
    Answer, DEADLINE, Enrol, Enrolled, LineError, RefusalCode, Refused, Request, read_line,
    write_line,
};

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
    authority: Arc<Authority>,
    store: Arc<dyn Store>,
    gateways: Vec<Endpoint>,
    clock: Clock,
    limiter: DefaultKeyedRateLimiter<IpAddr>,
    attempts: AtomicU32,
    deadline: Duration,
}

impl Enrolment {
    /// Enrols into this store with certificates of this authority; `gateways` is what connectors
    /// are told to dial.
    #[must_use]
    pub fn new(
        authority: Arc<Authority>,
        store: Arc<dyn Store>,
        gateways: Vec<Endpoint>,
        clock: Clock,
    ) -> Self {
        Self {
            authority,
            store,
            gateways,
            clock,
            limiter: RateLimiter::keyed(Quota::per_minute(ATTEMPTS)),
            attempts: AtomicU32::new(0),
            deadline: DEADLINE,
        }
    }

    /// Serves one connection whose handshake chose [`crate::tunnel::tls::ALPN_ENROL`], to its end
    /// or the deadline, and logs the outcome.
    pub async fn serve(&self, stream: impl AsyncRead + AsyncWrite + Unpin, peer: SocketAddr) {
        match timeout(self.deadline, self.converse(stream, peer.ip())).await {
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
            tracing::error!(%error, "a connector cannot be enrolled");
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
            .authority
            .issue_connector(&request, &connector.id, &connector.group, now);
        let issued = match issued {
            Ok(issued) => issued,
            Err(error) => return unavailable(&error),
        };
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
        Answer::Enrolled(Enrolled {
            chain: issued.pem,
            authority: self.authority.certificate_pem(),
            id: connector.id.to_string(),
            group: connector.group.to_string(),
            gateways: self.gateways.iter().map(ToString::to_string).collect(),
            time: now.0,
        })
    }
}

/// The authority of this store; made where there is none yet, so that a token can be printed
/// before the gateway ran for the first time. Of two that make it at once, one counts for both.
///
/// # Errors
/// Where the store gives no answer, or what it holds is damaged.
pub async fn load_authority(store: &dyn Store, now: Timestamp) -> Result<Authority, EnrolError> {
    let record = match store.authority().await? {
        Some(record) => record,
        None => {
            let new = Authority::create(now)?;
            let record = AuthorityRecord {
                certificate_pem: new.certificate_pem(),
                key_pem: new.key_pem(),
            };
            store.create_authority(record).await?
        }
    };
    Ok(Authority::from_pem(
        &record.certificate_pem,
        &record.key_pem,
    )?)
}

/// Why there is no authority to enrol with.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// The store gives no answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What it holds is damaged, or nothing can be made.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
}

/// An answer that says no, logged.
fn refuse(address: IpAddr, token: Option<&str>, code: RefusalCode, message: &str) -> Answer {
    tracing::warn!(outcome = code.as_str(), token, %address, "enrolment");
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
pub(crate) mod tests {
    use std::sync::Mutex;

    use futures_util::FutureExt as _;
    use rcgen::{CertificateParams, KeyPair, SanType};
    use tokio::io::{AsyncReadExt as _, DuplexStream, duplex};

    use super::*;
    use crate::certs::{PeerConnector, Pin};
    use crate::model::GroupName;
    use crate::store::{Change, ConnectorRecord, NewToken, Reply, Seen, TokenRecord};
    use crate::tunnel::token::{Token, TokenSecret};
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;

    /// A store in memory, as far as enrolment needs one.
    #[derive(Debug, Default)]
    pub(crate) struct Memory {
        state: Mutex<State>,
    }

    #[derive(Debug, Default)]
    struct State {
        broken: bool,
        authority: Option<AuthorityRecord>,
        tokens: Vec<(TokenRecord, [u8; 32])>,
        connectors: Vec<(ConnectorRecord, [u8; 32])>,
    }

    impl Memory {
        fn with<T: Send + 'static>(&self, act: impl FnOnce(&mut State) -> T) -> Reply<'_, T> {
            let mut state = self.state.lock().unwrap();
            let result = if state.broken {
                Err(StoreError::Unavailable("broken".to_owned()))
            } else {
                Ok(act(&mut state))
            };
            std::future::ready(result).boxed()
        }

        fn spend(
            state: &mut State,
            spend: &SpendToken,
        ) -> Result<crate::store::Enrolled, SpendRefusal> {
            let token = state.tokens.iter_mut().find(|t| t.1 == spend.secret_hash);
            let token = &mut token.ok_or(SpendRefusal::Unknown)?.0;
            let known = state
                .connectors
                .iter()
                .find(|c| c.1 == spend.public_key_hash);
            if let Some((known, _)) = known {
                return match known.removed {
                    Some(_) => Err(SpendRefusal::Removed),
                    None => Ok(crate::store::Enrolled {
                        id: known.id.clone(),
                        group: known.group.clone(),
                    }),
                };
            }
            if token.revoked.is_some() {
                return Err(SpendRefusal::Revoked);
            }
            if spend.now >= token.expires {
                return Err(SpendRefusal::Expired);
            }
            if token.used >= token.uses {
                return Err(SpendRefusal::Spent);
            }
            token.used += 1;
            let record = ConnectorRecord {
                id: spend.id.clone(),
                group: token.group.clone(),
                name: spend.name.clone(),
                enrolled: spend.now,
                seen: None,
                removed: None,
            };
            state
                .connectors
                .push((record.clone(), spend.public_key_hash));
            Ok(crate::store::Enrolled {
                id: record.id,
                group: record.group,
            })
        }
    }

    impl Store for Memory {
        fn authority(&self) -> Reply<'_, Option<AuthorityRecord>> {
            self.with(|s| s.authority.clone())
        }
        fn create_authority(&self, new: AuthorityRecord) -> Reply<'_, AuthorityRecord> {
            self.with(|s| s.authority.get_or_insert(new).clone())
        }
        fn create_token(&self, new: NewToken) -> Reply<'_, ()> {
            let record = TokenRecord {
                id: new.id,
                group: new.group,
                uses: new.uses,
                used: 0,
                created: new.created,
                expires: new.expires,
                revoked: None,
            };
            self.with(|s| s.tokens.insert(0, (record, new.secret_hash)))
        }
        fn tokens(&self) -> Reply<'_, Vec<TokenRecord>> {
            self.with(|s| s.tokens.iter().map(|t| t.0.clone()).collect())
        }
        fn revoke_token<'a>(&'a self, id: &'a str, now: Timestamp) -> Reply<'a, bool> {
            self.with(|s| {
                let token = s.tokens.iter_mut().find(|t| t.0.id == id);
                token.map(|t| t.0.revoked = Some(now)).is_some()
            })
        }
        fn spend_token(
            &self,
            spend: SpendToken,
        ) -> Reply<'_, Result<crate::store::Enrolled, SpendRefusal>> {
            self.with(|s| Self::spend(s, &spend))
        }
        fn connectors(&self) -> Reply<'_, Vec<ConnectorRecord>> {
            self.with(|s| s.connectors.iter().map(|c| c.0.clone()).collect())
        }
        fn connector<'a>(&'a self, id: &'a ConnectorId) -> Reply<'a, Option<ConnectorRecord>> {
            self.with(|s| {
                let found = s.connectors.iter().find(|c| &c.0.id == id);
                found.map(|c| c.0.clone())
            })
        }
        fn remove_connector<'a>(&'a self, id: &'a ConnectorId, now: Timestamp) -> Reply<'a, bool> {
            self.with(|s| {
                let found = s.connectors.iter_mut().find(|c| &c.0.id == id);
                found.is_some_and(|c| c.0.removed.replace(now).is_none())
            })
        }
        fn connector_seen<'a>(&'a self, id: &'a ConnectorId, seen: Seen) -> Reply<'a, ()> {
            self.with(|s| {
                if let Some(found) = s.connectors.iter_mut().find(|c| &c.0.id == id) {
                    found.0.seen = Some(seen);
                }
            })
        }
        fn last_change(&self) -> Reply<'_, u64> {
            self.with(|_| 0)
        }
        fn changes(&self, _after: u64) -> Reply<'_, Vec<Change>> {
            self.with(|_| Vec::new())
        }
        fn changed(&self) -> Reply<'_, ()> {
            std::future::pending().boxed()
        }
    }

    const NOW: Timestamp = Timestamp(1_800_000_000);

    struct Rig {
        enrolment: Arc<Enrolment>,
        store: Arc<Memory>,
        clock: Clock,
    }

    fn rig() -> Rig {
        let clock = Clock::manual(NOW);
        let store = Arc::new(Memory::default());
        let enrolment = Enrolment::new(
            Arc::new(Authority::create(NOW).unwrap()),
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
            tokio::spawn(async move { enrolment.serve(near, peer).await });
            far
        }
    }

    fn csr(key: &KeyPair) -> Vec<u8> {
        let mut params =
            CertificateParams::new(vec!["gateway.appproxy.internal".to_owned()]).unwrap();
        params
            .subject_alt_names
            .push(SanType::URI("urn:appproxy:group:other".try_into().unwrap()));
        params.serialize_request(key).unwrap().der().to_vec()
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
            Answer::Enrolled(_) => panic!("enrolled"),
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
        let unknown = Token::new(rig.enrolment.gateways.clone(), Pin([0; 32]))
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
        rig.store.state.lock().unwrap().broken = true;
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

    #[tokio::test]
    async fn the_authority_is_made_once() {
        let rig = rig();
        let first = load_authority(&*rig.store, NOW).await.unwrap();
        let second = load_authority(&*rig.store, NOW).await.unwrap();
        assert_eq!(first.pin(), second.pin());
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
