//! Enrolment from the connector's side: a token becomes an identity on disk.

use std::fmt;
use std::io;

use rcgen::KeyPair;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::io::{AsyncRead, AsyncWrite};
use zeroize::Zeroizing;

use super::channel::{self, AttemptError};
use super::identity::{Identity, StateFolder};
use super::named::KeptGateway;
use super::skew;
use super::state_error::StateError;
use crate::certs::{self, Pin};
use crate::clock::Clock;
use crate::model::{ConnectorId, Endpoint, GroupName};
use crate::tunnel::enrol::{Answer, Enrol, Enrolled, Refused, Request};
use crate::tunnel::tls::connector_enrol;
use crate::tunnel::token::Token;

/// What to register, and where.
#[derive(Debug)]
pub struct Registration<'a> {
    /// Where the identity goes.
    pub state: &'a StateFolder,
    /// What it is bought with.
    pub token: &'a Token,
    /// What the connector is called in the gateway's list: its host's name.
    pub name: &'a str,
    /// Whether an identity that is there already may go.
    pub replace: bool,
    /// Now.
    pub clock: &'a Clock,
}

/// A fresh identity, kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// The connector's identifier.
    pub id: ConnectorId,
    /// Its group.
    pub group: GroupName,
    /// Where gateways are dialled from now on.
    pub gateways: Vec<Endpoint>,
    /// One sentence about the clock, where it differs from the gateway's by more than a minute.
    pub skew: Option<String>,
}

/// Why there is no identity now.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// There was one before.
    #[error("{0} holds an identity already: add `--replace` to give it up for a new one")]
    Registered(std::path::PathBuf),
    /// The state folder cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// A gateway said no.
    #[error("the gateway {gateway} refused: {}", refused.message)]
    Refused {
        /// Which gateway.
        gateway: Endpoint,
        /// With which answer.
        refused: Refused,
    },
    /// No gateway of the token gave an answer that counts.
    #[error("no gateway of this token could be used:{}", list(.0))]
    NoGateway(Vec<(Endpoint, AttemptError)>),
}

impl RegisterError {
    /// The word for it; none where each gateway has one of its own in the text.
    #[must_use]
    pub const fn code(&self) -> Option<&'static str> {
        match self {
            Self::Registered(_) => Some("already_registered"),
            Self::State(error) => Some(error.code()),
            Self::Refused { refused, .. } => Some(refused.code.as_str()),
            Self::NoGateway(_) => None,
        }
    }
}

/// Enrols with a token: tries its gateways in order, checks the answer and keeps it. The key never
/// leaves the state folder. Where this fails or is cut off, another call with the same token goes
/// on with the same key, and the gateway counts it as the same connector.
///
/// # Errors
/// See [`RegisterError`].
pub async fn register<S: AsyncRead + AsyncWrite + Unpin>(
    registration: Registration<'_>,
    dial: impl AsyncFn(&Endpoint) -> io::Result<S>,
) -> Result<Registered, RegisterError> {
    let Registration { state, token, .. } = registration;
    let _lock = state.lock()?;
    if state.has_identity() && !registration.replace {
        return Err(RegisterError::Registered(state.path().to_owned()));
    }
    let key = state.pending_key(&token.secret.id())?;
    let mut failed = Vec::new();
    for gateway in &token.gateways {
        match attempt(&registration, &key, gateway, &dial).await {
            Ok(Answer::Enrolled(enrolled)) => {
                let checked = Checked::new(&enrolled, &key, token.pin);
                match checked {
                    Ok(checked) => return keep(&registration, gateway, &enrolled, checked),
                    Err(what) => failed.push((gateway.clone(), AttemptError::Answer(what))),
                }
            }
            Ok(Answer::Renewed(_)) => {
                let what = "it renews what nobody asked to be renewed";
                failed.push((gateway.clone(), AttemptError::Answer(what)));
            }
            Ok(Answer::Refused(refused)) if refused.code.may_succeed_later() => {
                failed.push((gateway.clone(), AttemptError::Later(refused)));
            }
            Ok(Answer::Refused(refused)) => {
                let gateway = gateway.clone();
                return Err(RegisterError::Refused { gateway, refused });
            }
            Err(error) => failed.push((gateway.clone(), error)),
        }
    }
    Err(RegisterError::NoGateway(failed))
}

async fn attempt<S: AsyncRead + AsyncWrite + Unpin>(
    registration: &Registration<'_>,
    key: &KeyPair,
    gateway: &Endpoint,
    dial: &impl AsyncFn(&Endpoint) -> io::Result<S>,
) -> Result<Answer, AttemptError> {
    let token = registration.token;
    let config =
        connector_enrol(token.pin).map_err(|e| AttemptError::Handshake(io::Error::other(e)))?;
    let tls = channel::open(gateway, config, dial(gateway)).await?;
    let request = Request::Enrol(Enrol {
        secret: token.secret.clone(),
        csr: channel::request(key)?,
        name: registration.name.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        time: registration.clock.now().0,
    });
    channel::converse(tls, &request).await
}

/// An answer that holds together: what will be on disk.
struct Checked {
    identity: Identity,
    pem: Zeroizing<String>,
    gateways: Vec<Endpoint>,
}

impl Checked {
    fn new(enrolled: &Enrolled, key: &KeyPair, pin: Pin) -> Result<Self, &'static str> {
        let mut pem = Zeroizing::new(key.serialize_pem());
        // The handshake proved the pin, so the gateway may name further authorities, while a
        // rotation is under way; the one that was proven must be among them.
        let mut pinned = false;
        for text in std::iter::once(&enrolled.chain).chain(&enrolled.authorities) {
            let certificate = CertificateDer::from_pem_slice(text.as_bytes())
                .map_err(|_| "one of its certificates cannot be read")?;
            pinned |= Pin::of_authority(&certificate) == Some(pin);
            pem.push_str(&certs::pem("CERTIFICATE", &certificate));
        }
        if !pinned {
            return Err("its authority is not the token's");
        }
        let identity = Identity::from_pem(pem.as_bytes())?;
        if identity.id.as_str() != enrolled.id || identity.group.as_str() != enrolled.group {
            return Err("its certificate names another connector");
        }
        let gateways = enrolled.gateways.iter().map(|g| Endpoint::parse(g));
        Ok(Self {
            identity,
            pem,
            gateways: gateways
                .collect::<Result<_, _>>()
                .map_err(|_| "its list of gateways is malformed")?,
        })
    }
}

fn keep(
    registration: &Registration<'_>,
    by: &Endpoint,
    enrolled: &Enrolled,
    checked: Checked,
) -> Result<Registered, RegisterError> {
    let gateways = if checked.gateways.is_empty() {
        registration.token.gateways.clone()
    } else {
        checked.gateways
    };
    let kept = gateways.iter().map(|gateway| KeptGateway {
        endpoint: gateway.clone(),
        named_by: (!registration.token.gateways.contains(gateway)).then(|| by.clone()),
    });
    // The identity last: where it is, the rest is too.
    registration
        .state
        .keep_gateways(&kept.collect::<Vec<_>>())?;
    registration.state.keep_identity(&checked.pem)?;
    registration.state.forget_pending()?;
    Ok(Registered {
        id: checked.identity.id,
        group: checked.identity.group,
        gateways,
        skew: skew::sentence(registration.clock.now().0, enrolled.time),
    })
}

fn list(failed: &[(Endpoint, AttemptError)]) -> impl fmt::Display {
    struct List(String);
    impl fmt::Display for List {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(&self.0)
        }
    }
    let line = |(gateway, error): &(Endpoint, AttemptError)| {
        format!("\n  {gateway}: error [{}] {error}", error.code())
    };
    let lines = failed.iter().map(line);
    List(lines.collect())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};

    use tokio::io::{DuplexStream, duplex};
    use tokio_rustls::TlsAcceptor;

    use super::*;
    use crate::certs::{Authority, ConnectorRequest};
    use crate::clock::Timestamp;
    use crate::tunnel::enrol::{RefusalCode, read_line, write_line};
    use crate::tunnel::tls::gateway_enrol;

    /// What a scripted gateway does with a request.
    #[derive(Clone, Copy)]
    enum Script {
        Unreachable,
        CutBeforeAnswer,
        Refuse(RefusalCode),
        Enrol,
        EnrolAs(&'static str),
        ForeignAuthority,
    }

    struct Rig {
        authority: Authority,
        other: Authority,
        folder: tempfile::TempDir,
        token: Token,
        clock: Clock,
        script: Mutex<Vec<Script>>,
        requests: Arc<Mutex<Vec<[u8; 32]>>>,
        dialled: AtomicUsize,
    }

    fn rig(script: &[Script]) -> Rig {
        let now = Clock::system().now();
        let authority = Authority::create(now).unwrap();
        let gateways = ["gw1.example.com:443", "[2001:db8::1]:443"];
        let gateways = gateways.map(|g| Endpoint::parse(g).unwrap()).to_vec();
        Rig {
            token: Token::new(gateways, authority.pin()).unwrap(),
            other: Authority::create(now).unwrap(),
            authority,
            folder: tempfile::tempdir().unwrap(),
            clock: Clock::manual(now),
            script: Mutex::new(script.to_vec()),
            requests: Arc::default(),
            dialled: AtomicUsize::new(0),
        }
    }

    impl Rig {
        fn state(&self) -> StateFolder {
            StateFolder::new(self.folder.path().join("state"))
        }

        async fn register(&self, replace: bool) -> Result<Registered, RegisterError> {
            let state = self.state();
            let registration = Registration {
                state: &state,
                token: &self.token,
                name: "host",
                replace,
                clock: &self.clock,
            };
            register(registration, async |_: &Endpoint| self.dial()).await
        }

        fn dial(&self) -> io::Result<DuplexStream> {
            self.dialled.fetch_add(1, Ordering::Relaxed);
            let script = self.script.lock().unwrap().remove(0);
            if matches!(script, Script::Unreachable) {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            let (near, far) = duplex(64 * 1024);
            let now = self.clock.now();
            let leaf = self.authority.issue_gateway(now).unwrap();
            let tls = TlsAcceptor::from(Arc::new(gateway_enrol(leaf).unwrap()));
            let (authority_pem, key_pem) = match script {
                Script::ForeignAuthority => (self.other.certificate_pem(), self.other.key_pem()),
                _ => (self.authority.certificate_pem(), self.authority.key_pem()),
            };
            let authority = Authority::from_pem(&authority_pem, &key_pem).unwrap();
            let requests = Arc::clone(&self.requests);
            tokio::spawn(async move {
                let mut stream = tls.accept(near).await.unwrap();
                let Request::Enrol(enrol) = read_line(&mut stream).await.unwrap() else {
                    panic!("another verb");
                };
                let request = ConnectorRequest::from_der(&enrol.csr_der().unwrap()).unwrap();
                requests.lock().unwrap().push(request.public_key_hash());
                let answer = answer(script, &authority, &request, now);
                if let Some(answer) = answer {
                    write_line(&mut stream, &answer).await.unwrap();
                }
            });
            Ok(far)
        }
    }

    fn answer(
        script: Script,
        authority: &Authority,
        request: &ConnectorRequest,
        now: Timestamp,
    ) -> Option<Answer> {
        let (id, group) = ("c000000000000000000000001", "hq");
        let told = match script {
            Script::CutBeforeAnswer => return None,
            Script::Refuse(code) => {
                let message = "n\u{1b}o\n".to_owned();
                return Some(Answer::Refused(Refused { code, message }));
            }
            Script::EnrolAs(group) => group,
            _ => group,
        };
        let issued = authority.issue_connector(
            request,
            &ConnectorId::new(id).unwrap(),
            &GroupName::new(group).unwrap(),
            now,
            std::time::Duration::from_secs(90 * 86_400),
        );
        Some(Answer::Enrolled(Enrolled {
            chain: issued.unwrap().pem,
            authorities: vec![authority.certificate_pem()],
            id: id.to_owned(),
            group: told.to_owned(),
            gateways: ["gw1.example.com:443", "gw9.example.com:8443"]
                .map(str::to_owned)
                .to_vec(),
            time: now.0,
        }))
    }

    #[tokio::test]
    async fn an_identity_is_kept_and_loads_again() {
        use std::os::unix::fs::PermissionsExt as _;
        let rig = rig(&[Script::Unreachable, Script::Enrol]);
        let state = rig.state();
        let now = rig.clock.now();
        assert!(matches!(state.stored(), Err(StateError::None { .. })));
        let done = rig.register(false).await.unwrap();
        assert_eq!((done.group.as_str(), done.skew), ("hq", None));
        let identity = state.stored().unwrap();
        assert_eq!((identity.id, identity.group), (done.id, done.group));
        let kept = state.gateways().unwrap();
        let endpoints: Vec<_> = kept.iter().map(|kept| kept.endpoint.clone()).collect();
        assert_eq!(endpoints, done.gateways);
        // What the token does not name is on the word of the gateway that answered.
        let named_by: Vec<_> = kept.into_iter().map(|kept| kept.named_by).collect();
        assert_eq!(named_by, [None, Some(rig.token.gateways[1].clone())]);
        let mode = |path: &str| {
            let path = state.path().join(path);
            std::fs::metadata(path).unwrap().permissions().mode() & 0o777
        };
        assert_eq!((mode(""), mode("identity.pem")), (0o700, 0o600));
        assert!(!state.path().join("pending.pem").exists());
        assert!(identity.not_after > now);
    }

    #[tokio::test]
    async fn an_identity_that_root_registers_is_for_the_account_whose_folder_it_is_in() {
        use crate::owner::tests::{folder_of_an_account, owner};
        let (folder, account) = folder_of_an_account();
        let lost = [Script::CutBeforeAnswer, Script::Unreachable];
        let mut rig = rig(&[lost.as_slice(), &[Script::Enrol, Script::Enrol]].concat());
        rig.folder = folder;
        let path = rig.state().path().to_owned();
        let names = || {
            let entries = std::fs::read_dir(&path).unwrap();
            let mut names: Vec<_> = entries.map(|one| one.unwrap().file_name()).collect();
            names.sort();
            for name in &names {
                assert_eq!(owner(&path.join(name)), account, "{name:?}");
            }
            names
        };
        rig.register(false).await.unwrap_err();
        assert_eq!(owner(&path), account);
        assert_eq!(names(), ["pending.pem", "register.lock"]);
        for replace in [false, true] {
            rig.register(replace).await.unwrap();
            assert_eq!(names(), ["gateways.json", "identity.pem", "register.lock"]);
        }
    }

    #[tokio::test]
    async fn a_lost_answer_is_had_again_with_the_same_key() {
        let lost = [Script::CutBeforeAnswer, Script::Unreachable, Script::Enrol];
        let rig = rig(&lost);
        let error = rig.register(false).await.unwrap_err();
        assert!(matches!(&error, RegisterError::NoGateway(failed) if failed.len() == 2));
        let text = error.to_string();
        assert!(
            text.contains("gw1.example.com:443: error [tunnel_ended] the connection broke"),
            "{text}"
        );
        assert!(
            text.contains("[2001:db8::1]:443: error [unreachable] cannot be reached"),
            "{text}"
        );
        rig.register(false).await.unwrap();
        let requests = rig.requests.lock().unwrap();
        assert_eq!(requests.len(), 2);
        assert_eq!(requests[0], requests[1]);
    }

    #[tokio::test]
    async fn an_identity_goes_only_on_request() {
        let rig = rig(&[Script::Enrol, Script::Enrol]);
        rig.register(false).await.unwrap();
        let again = rig.register(false).await;
        let again = again.unwrap_err();
        assert!(matches!(again, RegisterError::Registered(_)));
        assert_eq!(again.code(), Some("already_registered"));
        assert_eq!(rig.dialled.load(Ordering::Relaxed), 1);
        rig.register(true).await.unwrap();
        let requests = rig.requests.lock().unwrap();
        assert_ne!(requests[0], requests[1]);
    }

    #[tokio::test]
    async fn a_refusal_ends_the_search_unless_it_may_pass() {
        let spent = Script::Refuse(RefusalCode::TokenSpent);
        let busy = rig(&[Script::Refuse(RefusalCode::Unavailable), spent]);
        let error = busy.register(false).await.unwrap_err();
        let RegisterError::Refused { gateway, refused } = error else {
            panic!("{error}");
        };
        assert_eq!(refused.code, RefusalCode::TokenSpent);
        assert_eq!(refused.message, "no");
        assert_eq!(gateway, busy.token.gateways[1]);
        assert!(!busy.state().has_identity());
        let final_at_once = rig(&[spent]);
        let error = final_at_once.register(false).await.unwrap_err();
        assert_eq!(error.code(), Some("token_spent"));
    }

    #[tokio::test]
    async fn an_answer_that_does_not_hold_together_is_not_kept() {
        let rig = rig(&[Script::ForeignAuthority, Script::EnrolAs("other")]);
        let error = rig.register(false).await.unwrap_err().to_string();
        assert!(
            error.contains("its authority is not the token's"),
            "{error}"
        );
        assert!(
            error.contains("its certificate names another connector"),
            "{error}"
        );
        assert_eq!(error.matches("error [answer_unusable] ").count(), 2);
        assert!(!rig.state().has_identity());
    }

    #[tokio::test]
    async fn a_gateway_of_another_installation_is_named_as_such() {
        let mut rig = rig(&[Script::Enrol, Script::Enrol]);
        let gateways = rig.token.gateways.clone();
        rig.token = Token::new(gateways, rig.other.pin()).unwrap();
        let error = rig.register(false).await.unwrap_err().to_string();
        assert!(error.contains("another installation"), "{error}");
        assert_eq!(error.matches("error [other_installation] ").count(), 2);
        assert!(rig.requests.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn two_registrations_do_not_run_at_once() {
        let rig = rig(&[]);
        let state = rig.state();
        let _first = state.lock().unwrap();
        let second = rig.register(false).await.unwrap_err();
        assert!(matches!(second, RegisterError::State(StateError::Busy(_))));
        assert_eq!(second.code(), Some("identity_busy"));
    }

    #[tokio::test]
    async fn damaged_files_are_named() {
        let rig = rig(&[Script::Enrol]);
        rig.register(false).await.unwrap();
        let state = rig.state();
        let path = state.path().join("identity.pem");
        let whole = std::fs::read_to_string(&path).unwrap();
        let other_key = KeyPair::generate().unwrap().serialize_pem();
        let from = whole.find("-----BEGIN CERT").unwrap();
        for text in [
            String::new(),
            whole[..from].to_owned(),
            whole[..whole.len() - 40].to_owned(),
            whole[from..].to_owned(),
            format!("{other_key}{}", &whole[from..]),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = state.stored().unwrap_err();
            assert!(matches!(error, StateError::Damaged { .. }), "{error}");
            assert!(error.to_string().contains("--replace"));
        }
        std::fs::write(state.path().join("gateways.json"), "[\"x\"]").unwrap();
        assert!(matches!(state.gateways(), Err(StateError::Damaged { .. })));
    }
}
