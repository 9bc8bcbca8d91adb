//! What a connector keeps: one folder with its identity and the gateways it knows.
//!
//! ```text
//! identity.pem    0600  key, certificate and the gateways' authorities, replaced in one rename
//! gateways.json         where gateways are dialled
//! status.sock     0600  of a running connector: what `connector status` asks
//! pending.pem     0600  the key of an enrolment whose answer has not been received yet
//! ```

use std::fs::{File, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use super::named::{self, KeptGateway};
use super::state_error::StateError;
use super::status::SOCKET;
use crate::certs::{PeerConnector, Pin, pem};
use crate::clock::Timestamp;
use crate::config::{ConnectorConfig, connector_command};
use crate::model::{ConnectorId, GroupName};
use crate::owner;
use crate::tunnel::tls::{Credentials, connector_tunnel};

const IDENTITY: &str = "identity.pem";
const GATEWAYS: &str = "gateways.json";
const PENDING: &str = "pending.pem";
const LOCK: &str = "register.lock";

const REGISTER: &str = "appproxy connector register";

/// Far more than a rotation ever has at once.
const AUTHORITIES: usize = 8;

/// Who this connector is.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Its identifier.
    pub id: ConnectorId,
    /// Its group.
    pub group: GroupName,
    /// When its certificate was issued.
    pub issued: Timestamp,
    /// When its certificate ends.
    pub not_after: Timestamp,
    /// What it shows to gateways, and whom it trusts.
    pub credentials: Credentials,
}

/// The folder.
#[derive(Debug, Clone)]
pub struct StateFolder {
    path: PathBuf,
    /// The command that fills it.
    register: String,
    /// Writers of this process take turns: another process is what the lock in the folder is for.
    turn: Arc<Mutex<()>>,
}

impl StateFolder {
    /// The folder at this path, which need not exist yet.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self::made(path.into(), REGISTER.to_owned())
    }

    /// The folder of a configuration, whose file is named to those who are told what to do.
    #[must_use]
    pub fn of(config: &ConnectorConfig) -> Self {
        let register = connector_command(REGISTER, &config.file);
        Self::made(config.state.clone(), register)
    }

    fn made(path: PathBuf, register: String) -> Self {
        Self {
            path,
            register,
            turn: Arc::default(),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Loads the identity, whose certificate may have ended: it can still be renewed.
    ///
    /// # Errors
    /// Where there is none, or it cannot be read or is damaged.
    pub fn stored(&self) -> Result<Identity, StateError> {
        let path = self.path.join(IDENTITY);
        let text = match std::fs::read(&path) {
            Ok(text) => Zeroizing::new(text),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(StateError::None {
                    folder: self.path.clone(),
                    register: self.register.clone(),
                });
            }
            Err(error) => return Err(io_error("read", &path, error)),
        };
        Identity::from_pem(&text).map_err(|what| StateError::Damaged { path, what })
    }

    /// Whether something is kept as identity, good or not.
    #[must_use]
    pub fn has_identity(&self) -> bool {
        self.path.join(IDENTITY).symlink_metadata().is_ok()
    }

    /// The gateways kept at enrolment or handed down since; empty where none are.
    ///
    /// # Errors
    /// Where the list cannot be read or is damaged.
    pub fn gateways(&self) -> Result<Vec<KeptGateway>, StateError> {
        let path = self.path.join(GATEWAYS);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(io_error("read", &path, error)),
        };
        named::read(&text).ok_or(StateError::Damaged {
            path,
            what: "it is not a JSON list of gateways",
        })
    }

    /// Keeps a list of gateways.
    pub(super) fn keep_gateways(&self, gateways: &[KeptGateway]) -> Result<(), StateError> {
        self.replace(GATEWAYS, named::text(gateways).as_bytes())
    }

    /// Keeps what gateways named to the connector of this identity; where another one is there by
    /// now, or none, its list is not touched.
    pub(super) fn keep_named(
        &self,
        id: &ConnectorId,
        gateways: &[KeptGateway],
    ) -> Result<(), StateError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let _lock = self.lock()?;
        if self.stored()?.id != *id {
            return Err(StateError::Replaced(self.path.clone()));
        }
        self.keep_gateways(gateways)
    }

    /// Keeps an identity, given as the text of its file; the old one counts until it is whole.
    pub(super) fn keep_identity(&self, pem: &str) -> Result<(), StateError> {
        self.replace(IDENTITY, pem.as_bytes())
    }

    /// Keeps what a renewal made of the identity that is there. Where another one is there by now,
    /// or none, that is left as it is: somebody registered anew, or unregistered.
    pub(super) fn keep_renewed(&self, identity: &Identity) -> Result<(), StateError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let _lock = self.lock()?;
        if self.stored()?.id != identity.id {
            return Err(StateError::Replaced(self.path.clone()));
        }
        self.keep_identity(&identity.to_pem())
    }

    /// Deletes everything that is kept, the identity first and the lock, which others may wait for,
    /// last. Where only this one is to go, another one that is there by now stays.
    pub(super) fn forget(&self, only: Option<&ConnectorId>) -> Result<(), StateError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let (file, path) = self.lock_file()?;
        // Whoever writes is done in a moment; who registers has a deadline.
        file.lock().map_err(|e| io_error("lock", &path, e))?;
        if only.is_some_and(|only| self.stored().is_ok_and(|there| there.id != *only)) {
            return Err(StateError::Replaced(self.path.clone()));
        }
        for name in [IDENTITY, PENDING, GATEWAYS, SOCKET, LOCK] {
            let path = self.path.join(name);
            match std::fs::remove_file(&path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => {
                    return Err(io_error("remove", &path, e));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Makes the folder and takes it for one registration; held until the guard is dropped.
    pub(super) fn lock(&self) -> Result<File, StateError> {
        let (file, path) = self.lock_file()?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(StateError::Busy(self.path.clone())),
            Err(TryLockError::Error(error)) => Err(io_error("lock", &path, error)),
        }
    }

    fn lock_file(&self) -> Result<(File, PathBuf), StateError> {
        owner::make_folder(&self.path).map_err(|e| io_error("create", &self.path, e))?;
        let path = self.path.join(LOCK);
        let file = owner::open_or_create(&path, 0o600).map_err(|e| io_error("write", &path, e))?;
        Ok((file, path))
    }

    /// The key for enrolling with this token: the one an earlier attempt kept, or a new one, which
    /// is on disk before it is used. So an attempt whose answer was lost is finished by the next.
    pub(super) fn pending_key(&self, token: &str) -> Result<KeyPair, StateError> {
        let path = self.path.join(PENDING);
        let kept = match std::fs::read_to_string(&path) {
            Ok(text) => Some(Zeroizing::new(text)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(io_error("read", &path, error)),
        };
        // A pending key of another token, or a damaged one, is of no use any more.
        let kept = kept.and_then(|text| {
            let (first, pem) = text.split_once('\n')?;
            let same = first.strip_prefix("token ") == Some(token);
            let key = KeyPair::from_pem_and_sign_algo(pem, &PKCS_ECDSA_P256_SHA256).ok()?;
            same.then_some(key)
        });
        if let Some(key) = kept {
            return Ok(key);
        }
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
            .map_err(|e| io_error("make a key for", &path, io::Error::other(e)))?;
        let text = Zeroizing::new(format!("token {token}\n{}", key.serialize_pem()));
        self.replace(PENDING, text.as_bytes())?;
        Ok(key)
    }

    /// Forgets the pending key.
    pub(super) fn forget_pending(&self) -> Result<(), StateError> {
        let path = self.path.join(PENDING);
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(io_error("remove", &path, e)),
            _ => Ok(()),
        }
    }

    /// Writes a file whole or not at all, and to the disk, not only to the cache: a token is spent
    /// by the time an identity is written, so losing it to a power cut would cost another token.
    fn replace(&self, name: &str, content: &[u8]) -> Result<(), StateError> {
        let path = self.path.join(name);
        let new = self.path.join(format!("{name}.new"));
        let write = || {
            // Made anew: the mode of a file that is there already would stay as it is.
            match std::fs::remove_file(&new) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
            let mut file = owner::create_new(&new, 0o600)?;
            file.write_all(content)?;
            file.sync_all()?;
            std::fs::rename(&new, &path)?;
            File::open(&self.path)?.sync_all()
        };
        write().map_err(|e| io_error("write", &path, e))
    }
}

impl Identity {
    /// Reads key, certificate and authorities, in this order, and checks that they are a
    /// connector's and fit one another. The error says in a few words what is wrong.
    pub(super) fn from_pem(text: &[u8]) -> Result<Self, &'static str> {
        let key = PrivateKeyDer::from_pem_slice(text).map_err(|_| "it has no private key")?;
        let mut certificates = CertificateDer::pem_slice_iter(text)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| "a certificate is cut off or changed")?;
        if certificates.is_empty() {
            return Err("it has no certificate");
        }
        let leaf = certificates.remove(0);
        Self::new(key, leaf, certificates)
    }

    /// Checks that the three are a connector's and fit one another.
    pub(super) fn new(
        key: PrivateKeyDer<'static>,
        leaf: CertificateDer<'static>,
        authorities: Vec<CertificateDer<'static>>,
    ) -> Result<Self, &'static str> {
        if authorities.is_empty() {
            return Err("it has no authority");
        }
        if authorities.len() > AUTHORITIES {
            return Err("it has too many authorities");
        }
        if authorities.iter().any(|a| Pin::of_authority(a).is_none()) {
            return Err("one of its authorities is none");
        }
        let peer = PeerConnector::from_certificate(&leaf).map_err(|_| "it is not a connector's")?;
        let credentials = Credentials {
            chain: vec![leaf],
            key,
            authorities,
        };
        connector_tunnel(&credentials).map_err(|_| "its key does not fit its certificate")?;
        Ok(Self {
            id: peer.id,
            group: peer.group,
            issued: peer.issued,
            not_after: peer.not_after,
            credentials,
        })
    }

    /// How long its certificate is good for, from issue to end, in seconds; at least one.
    pub(super) fn life(&self) -> u64 {
        let life = self.not_after.0.saturating_sub(self.issued.0);
        u64::try_from(life).unwrap_or(0).max(1)
    }

    /// When it is renewed, at the latest; up to a fifteenth of its life earlier.
    pub(super) fn renewal(&self) -> Timestamp {
        let life = self.life();
        let two_thirds = Duration::from_secs(life / 3 * 2 + life % 3 * 2 / 3);
        self.issued.plus(two_thirds)
    }

    /// The text of its file.
    fn to_pem(&self) -> Zeroizing<String> {
        let Credentials {
            chain,
            key,
            authorities,
        } = &self.credentials;
        let label = match key {
            PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
            PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
            _ => "PRIVATE KEY",
        };
        let mut text = Zeroizing::new(pem(label, key.secret_der()));
        for certificate in chain.iter().chain(authorities) {
            text.push_str(&pem("CERTIFICATE", certificate));
        }
        text
    }
}

fn io_error(verb: &'static str, path: &Path, error: io::Error) -> StateError {
    StateError::Io {
        verb,
        path: path.to_owned(),
        error,
    }
}
