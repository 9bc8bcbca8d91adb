//! What a client has agreed to in its TLS handshake, and the certificate that it has shown there.
//!
//! SECURITY: who is asked for a certificate is decided by the server name, before there is a request. What
//! a connection was asked under is recorded with it, and every request is compared with what its own host
//! wants; the certificate is judged again with each configuration and as time goes on (DESIGN 8, rules 3
//! and 19).

use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::header::HeaderName;
use http::{HeaderMap, HeaderValue};
use rustls::ServerConnection;
use rustls::pki_types::CertificateDer;

use super::connection::Transport;
use super::current::Current;
use super::respond::Failure;
use super::route::Candidates;
use crate::auth::ShownCertificate;
use crate::certs::{self, ClientAuthorities, NotTrusted};
use crate::clock::Timestamp;
use crate::http as rules;
use crate::model::{
    Application, CertificatePart, ClientCertificate, ClientCertificates, ErrorCode, Host,
    RequestId, Scheme,
};

/// A certificate is looked at again after so many seconds: those between it and its authority end too.
const AGAIN: i64 = 60;

/// RFC 9440.
const CLIENT_CERT: HeaderName = HeaderName::from_static("client-cert");
const CLIENT_CERT_CHAIN: HeaderName = HeaderName::from_static("client-cert-chain");

/// A connection whose client was asked for a certificate.
#[derive(Debug)]
pub(super) struct ClientTls {
    /// The file of the authorities it was asked with.
    ca: Arc<Path>,
    /// What it has shown, the leaf first.
    chain: Vec<CertificateDer<'static>>,
    /// What it says; read once it counts, since anybody can show anything.
    certificate: OnceLock<Result<Arc<ClientCertificate>, NotTrusted>>,
    verdict: Mutex<Option<Verdict>>,
}

/// What was found of its certificate.
#[derive(Debug)]
struct Verdict {
    by: Arc<ClientAuthorities>,
    at: Timestamp,
    outcome: Result<(), Arc<str>>,
}

impl ClientTls {
    /// A connection whose handshake is done.
    pub(super) fn of(connection: &ServerConnection, ca: Arc<Path>) -> Arc<Self> {
        let chain = connection.peer_certificates().unwrap_or_default();
        let chain: Vec<_> = chain.iter().map(|one| one.clone().into_owned()).collect();
        Arc::new(Self {
            ca,
            chain,
            certificate: OnceLock::new(),
            verdict: Mutex::default(),
        })
    }

    /// The certificate, as the authorities in force say now.
    pub(super) fn shown(&self, current: &Current, now: Timestamp) -> ShownCertificate {
        if self.chain.is_empty() {
            return ShownCertificate::None;
        }
        let Some(authorities) = current.client_authorities(&self.ca) else {
            return ShownCertificate::Refused(self.refusal(&NotTrusted::Issuer));
        };
        if let Err(why) = self.verdict(authorities, now) {
            return ShownCertificate::Refused(why);
        }
        let read = || certs::read_client_certificate(&self.chain).map(Arc::new);
        match self.certificate.get_or_init(read) {
            Ok(certificate) => ShownCertificate::Verified(Arc::clone(certificate)),
            Err(why) => ShownCertificate::Refused(self.refusal(why)),
        }
    }

    /// Which certificate it is, as far as it can be read, and why it does not count.
    fn refusal(&self, why: &NotTrusted) -> Arc<str> {
        let which = match certs::read_client_certificate(&self.chain) {
            Ok(read) => {
                let issuer = read.values(CertificatePart::Issuer).next();
                let issuer = issuer.unwrap_or("nobody who is named").escape_debug();
                format!("the {read}, issued by {issuer},")
            }
            Err(_) => "the certificate that the client has shown".to_owned(),
        };
        format!("{which} does not count: {why}").into()
    }

    fn is_over(&self, now: Timestamp) -> bool {
        let read = self.certificate.get().and_then(|read| read.as_ref().ok());
        read.is_some_and(|certificate| certificate.not_after < now.0)
    }

    /// Held while it is judged: many requests that come at once cost one look.
    fn verdict(
        &self,
        authorities: &Arc<ClientAuthorities>,
        now: Timestamp,
    ) -> Result<(), Arc<str>> {
        let mut known = self.verdict.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = &*known
            && Arc::ptr_eq(&known.by, authorities)
            && (known.at.0..known.at.0 + AGAIN).contains(&now.0)
            && !self.is_over(now)
        {
            return known.outcome.clone();
        }
        let outcome = authorities.check(&self.chain, now);
        let outcome = outcome.map_err(|why| self.refusal(&why));
        *known = Some(Verdict {
            by: Arc::clone(authorities),
            at: now,
            outcome: outcome.clone(),
        });
        outcome
    }
}

/// Refuses a request whose connection was asked for another certificate than its host wants, or for none, or
/// whose host has TLS of its own: the client is to make another connection.
///
/// # Errors
/// Where that is so.
pub(super) fn check(current: &Current, transport: &Transport, host: &Host) -> Result<(), Failure> {
    let asked = transport.client_tls.as_ref().map(|one| &*one.ca);
    if transport.scheme == Scheme::Http || (asked.is_none() && !current.table.has_own_tls()) {
        return Ok(());
    }
    let candidates = current.table.host(host);
    if candidates
        .as_ref()
        .is_some_and(|all| all.passes_tls_through().is_some())
    {
        let detail = "TLS of this host ends at its application, and the connection's server name was another";
        return Err(Failure::new(ErrorCode::Misdirected, detail).closing());
    }
    let wanted = candidates.as_ref().and_then(Candidates::client_ca);
    if asked == wanted {
        return Ok(());
    }
    let say = |ca: Option<&Path>| {
        ca.map_or_else(
            || "none".to_owned(),
            |ca| format!("one of {}", ca.display()),
        )
    };
    let detail = format!(
        "the connection was asked for another client certificate ({}) than this host wants ({}): its \
         server name was another one, or the configuration is",
        say(asked),
        say(wanted)
    );
    Err(Failure::new(ErrorCode::Misdirected, detail).closing())
}

/// The certificate of a request to an application; one that asks for none has none.
pub(super) fn shown_to(
    application: &Application,
    client: Option<&ClientTls>,
    current: &Current,
    now: Timestamp,
) -> ShownCertificate {
    match (&application.client_certificates, client) {
        (Some(own), Some(client)) if own.ca == client.ca => client.shown(current, now),
        // What the connection was asked with is not what counts here by now.
        (Some(_), Some(client)) => ShownCertificate::Refused(client.refusal(&NotTrusted::Issuer)),
        _ => ShownCertificate::None,
    }
}

/// Tells an application of the certificate. Whatever a client says in these fields has gone before.
pub(super) fn tell(
    fields: &mut HeaderMap,
    settings: &ClientCertificates,
    certificate: &ClientCertificate,
    id: &RequestId,
) {
    let mut put = |name: &HeaderName, value: String| match HeaderValue::try_from(value) {
        Ok(mut value) => {
            // Each client's is another, and it is long: in the tunnel's table it would push out what repeats.
            value.set_sensitive(true);
            fields.insert(name, value);
        }
        Err(error) => {
            tracing::warn!(request_id = %id, %name, %error, "the application is not told")
        }
    };
    if settings.forward {
        put(&CLIENT_CERT, octets(&certificate.der));
    }
    if settings.forward_chain && !certificate.chain.is_empty() {
        let all = certificate.chain.iter().map(|one| octets(one));
        put(&CLIENT_CERT_CHAIN, all.collect::<Vec<_>>().join(", "));
    }
    if let Some(name) = &settings.pem_header {
        put(name, escaped_pem(&certificate.der));
    }
}

/// A byte sequence of structured fields (RFC 9651 section 3.3.5).
fn octets(der: &[u8]) -> String {
    format!(":{}:", BASE64.encode(der))
}

/// PEM with everything escaped that a field cannot hold or a form would change, as nginx has it in
/// `$ssl_client_escaped_cert`.
fn escaped_pem(der: &[u8]) -> String {
    let pem = certs::pem("CERTIFICATE", der);
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c);
    let escape = |c: char| match plain(c) {
        true => c.to_string(),
        false => format!("%{:02X}", u32::from(c)),
    };
    pem.chars().map(escape).collect()
}

/// Removes what a client says of a certificate under an application's own name for it.
pub(super) fn remove_claimed(fields: &mut HeaderMap, settings: &ClientCertificates) {
    if let Some(name) = &settings.pem_header {
        rules::remove_spellings(fields, name);
    }
}
