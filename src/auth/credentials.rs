//! What a request shows of who sent it, and what is asked for where that is not enough.

use http::HeaderMap;
use http::header::{AUTHORIZATION, HeaderName};

use super::bearer::BearerError;
use super::service_token::ServiceTokenError;
use super::{Duplicate, Facts, NoSession, OwnCookies, ShownCertificate};
use crate::model::{ClientCertificate, ErrorCode, Guard, PreAuthentication};

use std::sync::Arc;

/// Where programs show a service token: `Authorization` is the application's own.
pub static SERVICE_TOKEN: HeaderName = HeaderName::from_static("appproxy-authorization");

/// Why a request is not passed on before it is known who sent it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Challenge {
    /// None of the methods can be carried out, so nobody can be told apart.
    #[error("there is no pre-authentication that this gateway can carry out")]
    NoMethod,
    /// There is no session at this host; where there was a ticket, what is wrong with it.
    #[error("nobody is signed in at this host{}", because(.0.as_ref()))]
    SignIn(Option<NoSession>),
    /// There is no access token; where there was one, what is wrong with it.
    #[error("there is no access token that is taken here{}", because(.0.as_ref()))]
    Bearer(Option<BearerError>),
    /// There is no service token; where there was one, what is wrong with it.
    #[error("there is no service token that is taken here{}", because(.0.as_ref()))]
    ServiceToken(Option<ServiceTokenError>),
    /// The client has shown no certificate; where there was one, why it does not count.
    #[error("{}", .0.as_deref().unwrap_or("the client has shown no certificate"))]
    Certificate(Option<Arc<str>>),
    /// The browser sent two tickets, of which one may be somebody else's.
    #[error(transparent)]
    Cookies(#[from] Duplicate),
    /// It shows in two ways who sent it, which may be two.
    #[error("it shows in two ways who sent it, {0} and {1}: one of them is enough")]
    Several(&'static str, &'static str),
    /// A field that shows who sent it is there twice, or is not of its form.
    #[error("its field `{0}` is there twice, or is not of the form it has to have")]
    Malformed(&'static str),
    /// A token stands in the address, where logs and histories keep it.
    #[error(
        "a token in the query is not taken (RFC 9700 section 4.3.2): it belongs into `Authorization`"
    )]
    InQuery,
    /// Whether there is a session, or whether a token is good, cannot be known now.
    #[error("who it is cannot be known now: {0}")]
    Unavailable(&'static str),
    /// The provider cannot be asked for its keys.
    #[error("the identity provider cannot be asked: {0}")]
    Provider(String),
}

fn because(why: Option<&impl std::fmt::Display>) -> String {
    why.map(|why| format!(": {why}")).unwrap_or_default()
}

impl Challenge {
    /// The code of the answer.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            // Not `sign_in_required`: there is nothing the visitor could sign in to.
            Self::NoMethod => ErrorCode::Denied,
            Self::SignIn(_) => ErrorCode::SignInRequired,
            Self::Bearer(_) | Self::ServiceToken(_) => ErrorCode::TokenRequired,
            Self::Certificate(_) => ErrorCode::CertificateRequired,
            Self::Cookies(_) | Self::Several(..) | Self::Malformed(_) | Self::InQuery => {
                ErrorCode::BadRequest
            }
            // Never a way to sign in: that would be a loop.
            Self::Unavailable(_) => ErrorCode::StoreUnavailable,
            Self::Provider(_) => ErrorCode::ProviderUnavailable,
        }
    }
}

/// What a request shows of who sent it.
#[derive(Clone, Copy)]
pub enum Credentials<'a> {
    /// Nothing, and nothing is asked for.
    Nothing,
    /// The ticket of a session.
    Ticket(&'a [u8]),
    /// An access token of an identity provider.
    Bearer(&'a str),
    /// A token of the gateway's own.
    ServiceToken(&'a str),
    /// A certificate.
    Certificate(&'a Arc<ClientCertificate>),
    /// Whatever the test says.
    #[cfg(test)]
    Assumed,
}

/// Reads what a request shows, by the methods of what stands in front of what it asks for: the one that
/// is shown decides, and where none is the last one says what is missing.
///
/// # Errors
/// Where none is shown, or more than one.
pub fn credentials<'a>(guard: &Guard, facts: &Facts<'a>) -> Result<Credentials<'a>, Challenge> {
    use PreAuthentication as P;
    let fields = facts.fields;
    // Beside another method it would open what that method closes.
    if guard.has(P::Passthrough) {
        return match guard.pre_authentication[..] {
            [_] => Ok(Credentials::Nothing),
            _ => Err(Challenge::NoMethod),
        };
    }
    let mut found: Option<(&'static str, Credentials<'a>)> = None;
    // A connection has its certificate for everything: it does not contradict what is shown beside it.
    let mut certificate = None;
    for method in &guard.pre_authentication {
        let shown = match method {
            P::Passthrough => return Err(Challenge::NoMethod),
            P::Oidc => {
                let ticket = OwnCookies::read(fields).session()?;
                ticket.map(|ticket| ("a session", Credentials::Ticket(ticket)))
            }
            P::Bearer => {
                let token = bearer(fields, &AUTHORIZATION, "authorization")?;
                token.map(|token| ("an access token", Credentials::Bearer(token)))
            }
            P::ServiceToken => {
                let name = "appproxy-authorization";
                let token = bearer(fields, &SERVICE_TOKEN, name)?;
                // It is ours alone, so nothing else can stand there.
                if token.is_none() && fields.contains_key(&SERVICE_TOKEN) {
                    return Err(Challenge::Malformed(name));
                }
                token.map(|token| ("a service token", Credentials::ServiceToken(token)))
            }
            P::ClientCertificate => {
                certificate = facts.certificate.verified().filter(|_| found.is_none());
                None
            }
            #[cfg(test)]
            P::Assumed => return Ok(Credentials::Assumed),
        };
        match (shown, found) {
            (Some((name, _)), Some((other, _))) => return Err(Challenge::Several(other, name)),
            (Some(shown), None) => found = Some(shown),
            (None, _) => {}
        }
    }
    if let Some(certificate) = certificate {
        return match found {
            // SECURITY: a token beside it is a word of its own, which nobody has checked, and which an
            // application might believe.
            Some((name, Credentials::Bearer(_) | Credentials::ServiceToken(_))) => {
                Err(Challenge::Several("a client certificate", name))
            }
            _ => Ok(Credentials::Certificate(certificate)),
        };
    }
    if let Some((_, shown)) = found {
        return Ok(shown);
    }
    if guard.has(P::Bearer) && facts.query.is_some_and(has_token) {
        return Err(Challenge::InQuery);
    }
    Err(match guard.pre_authentication.last() {
        Some(P::Oidc) => Challenge::SignIn(None),
        Some(P::Bearer) => Challenge::Bearer(None),
        Some(P::ServiceToken) => Challenge::ServiceToken(None),
        Some(P::ClientCertificate) => Challenge::Certificate(match facts.certificate {
            ShownCertificate::Refused(why) => Some(Arc::clone(why)),
            ShownCertificate::None | ShownCertificate::Verified(_) => None,
        }),
        _ => Challenge::NoMethod,
    })
}

/// The token of `Bearer` credentials (RFC 6750 section 2.1); none where the field says something else,
/// which is the application's.
fn bearer<'a>(
    fields: &'a HeaderMap,
    name: &HeaderName,
    said: &'static str,
) -> Result<Option<&'a str>, Challenge> {
    let malformed = || Challenge::Malformed(said);
    let mut all = fields.get_all(name).iter();
    let Some(value) = all.next() else {
        return Ok(None);
    };
    let octets = value.as_bytes();
    let (scheme, rest) = match octets.iter().position(|b| *b == b' ') {
        Some(at) => octets.split_at(at),
        None => (octets, &octets[..0]),
    };
    if !scheme.eq_ignore_ascii_case(b"bearer") {
        // SECURITY: of two fields one may be what an application goes by.
        let other = all.any(|value| {
            let start = value.as_bytes().get(..6);
            start.is_some_and(|start| start.eq_ignore_ascii_case(b"bearer"))
        });
        return if other { Err(malformed()) } else { Ok(None) };
    }
    let token = std::str::from_utf8(rest)
        .ok()
        .map(|rest| rest.trim_matches(' '));
    // RFC 6750: b64token. A comma would begin other credentials.
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b);
    let token = token.filter(|token| !token.is_empty() && token.bytes().all(plain));
    match (token, all.next()) {
        (Some(token), None) => Ok(Some(token)),
        _ => Err(malformed()),
    }
}

/// Whether a query has what RFC 6750 section 2.3 once allowed there.
fn has_token(query: &str) -> bool {
    url::form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name == "access_token")
}

#[cfg(test)]
mod tests {
    use super::super::tests::facts_of;
    use super::*;
    use crate::model::Access;

    const SESSION: (&str, &str) = ("cookie", "__Host-appproxy=ticket");

    fn what(methods: &[PreAuthentication], fields: &[(&str, &str)], query: Option<&str>) -> String {
        what_with(methods, fields, query, &ShownCertificate::None)
    }

    fn what_with(
        methods: &[PreAuthentication],
        fields: &[(&str, &str)],
        query: Option<&str>,
        certificate: &ShownCertificate,
    ) -> String {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            let name: HeaderName = name.parse().unwrap();
            map.append(name, value.parse().unwrap());
        }
        let guard = Guard::new(methods.to_vec(), Access::default());
        facts_of(&map, query, |facts| {
            match credentials(
                &guard,
                &Facts {
                    certificate,
                    ..*facts
                },
            ) {
                Ok(Credentials::Nothing) => "nothing".to_owned(),
                Ok(Credentials::Ticket(ticket)) => {
                    format!("ticket {}", String::from_utf8_lossy(ticket))
                }
                Ok(Credentials::Bearer(token)) => format!("bearer {token}"),
                Ok(Credentials::ServiceToken(token)) => format!("service {token}"),
                Ok(Credentials::Certificate(one)) => one.to_string(),
                Ok(Credentials::Assumed) => "assumed".to_owned(),
                Err(challenge) => format!("{:?}", challenge.code()),
            }
        })
    }

    #[test]
    fn a_certificate_counts_where_its_method_is_the_first_that_is_shown() {
        use PreAuthentication::{Bearer, ClientCertificate as Shown, Oidc};
        let bearer = ("authorization", "Bearer a");
        let certificate = crate::model::ClientCertificate {
            parts: Vec::new(),
            not_after: 0,
            der: Box::new([]),
            chain: Vec::new(),
        };
        let good = ShownCertificate::Verified(Arc::new(certificate));
        let bad = ShownCertificate::Refused("it has expired".into());
        let none = ShownCertificate::None;
        for (methods, fields, shown, expected) in [
            (&[Shown][..], &[][..], &good, "certificate"),
            (&[Shown], &[], &none, "CertificateRequired"),
            (&[Shown], &[], &bad, "CertificateRequired"),
            (&[Shown], &[SESSION, bearer], &none, "CertificateRequired"),
            (&[Shown, Oidc], &[], &none, "SignInRequired"),
            (&[Shown, Oidc], &[], &bad, "SignInRequired"),
            (&[Shown, Oidc], &[SESSION], &bad, "ticket ticket"),
            // It goes with every request of its connection, so it contradicts nothing.
            (&[Shown, Oidc], &[SESSION], &good, "certificate"),
            (&[Oidc, Shown], &[SESSION], &good, "ticket ticket"),
            (&[Oidc, Shown], &[], &good, "certificate"),
            // A token is a word of its own, and nobody has checked it.
            (&[Shown, Bearer], &[bearer], &good, "BadRequest"),
            (&[Shown, Bearer], &[], &good, "certificate"),
            (&[Bearer, Shown], &[bearer], &good, "bearer a"),
            (&[Oidc], &[], &good, "SignInRequired"),
        ] {
            let seen = what_with(methods, fields, None, shown);
            let seen = seen
                .split(' ')
                .next()
                .filter(|_| seen.starts_with("cert"))
                .unwrap_or(&seen);
            assert_eq!(seen, expected, "{methods:?} {fields:?} {shown:?}");
        }
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table")]
    fn what_is_shown_decides_and_the_last_method_says_what_is_missing() {
        use PreAuthentication::{Bearer, Oidc, Passthrough, ServiceToken};
        let bearer = ("authorization", "Bearer a.b-c_d~e+f/g==");
        let service = ("appproxy-authorization", "bearer apxs_1");
        let all = [ServiceToken, Bearer, Oidc];
        for (methods, fields, query, expected) in [
            (&[Passthrough][..], &[bearer, SESSION][..], None, "nothing"),
            (&[Passthrough, Oidc], &[], None, "Denied"),
            (&[], &[], None, "Denied"),
            (&[Oidc], &[], None, "SignInRequired"),
            (&[Oidc], &[SESSION, bearer], None, "ticket ticket"),
            (&[Oidc, Bearer], &[], None, "TokenRequired"),
            (&[Bearer, Oidc], &[], None, "SignInRequired"),
            (&[Bearer, ServiceToken], &[], None, "TokenRequired"),
            (&all, &[bearer], None, "bearer a.b-c_d~e+f/g=="),
            (&all, &[service], None, "service apxs_1"),
            (&all, &[SESSION], None, "ticket ticket"),
            // Whoever shows two of them may be two.
            (&all, &[SESSION, bearer], None, "BadRequest"),
            (&all, &[service, bearer], None, "BadRequest"),
            (&all, &[service, SESSION], None, "BadRequest"),
            // Of what is no method here nobody looks.
            (
                &[ServiceToken],
                &[service, bearer, SESSION],
                None,
                "service apxs_1",
            ),
            (
                &[Bearer],
                &[SESSION, service, bearer],
                None,
                "bearer a.b-c_d~e+f/g==",
            ),
            // What an application asks for itself.
            (
                &[Bearer],
                &[("authorization", "Basic YTpi")],
                None,
                "TokenRequired",
            ),
            (
                &[Bearer],
                &[("authorization", "Bearerish x")],
                None,
                "TokenRequired",
            ),
            // SECURITY: an application may go by the other one.
            (&[Bearer], &[bearer, bearer], None, "BadRequest"),
            (
                &[Bearer],
                &[("authorization", "Basic YTpi"), bearer],
                None,
                "BadRequest",
            ),
            (
                &[Bearer],
                &[bearer, ("authorization", "Basic YTpi")],
                None,
                "BadRequest",
            ),
            (
                &[Bearer],
                &[("authorization", "Bearer a, Basic b")],
                None,
                "BadRequest",
            ),
            (
                &[Bearer],
                &[("authorization", "Bearer")],
                None,
                "BadRequest",
            ),
            (
                &[Bearer],
                &[("authorization", "Bearer  ")],
                None,
                "BadRequest",
            ),
            (
                &[Bearer],
                &[("authorization", "Bearer a b")],
                None,
                "BadRequest",
            ),
            (
                &[Bearer],
                &[("authorization", "bEARER  a ")],
                None,
                "bearer a",
            ),
            (
                &[ServiceToken],
                &[("appproxy-authorization", "apxs_1")],
                None,
                "BadRequest",
            ),
            (&[ServiceToken], &[service, service], None, "BadRequest"),
            (&[Bearer], &[], Some("x=1&access%5Ftoken=a"), "BadRequest"),
            (&[Bearer], &[], Some("xaccess_token=a"), "TokenRequired"),
            (
                &[Bearer, Oidc],
                &[SESSION],
                Some("access_token=a"),
                "ticket ticket",
            ),
            (&[Oidc], &[], Some("access_token=a"), "SignInRequired"),
        ] {
            let seen = what(methods, fields, query);
            assert_eq!(seen, expected, "{methods:?} {fields:?} {query:?}");
        }
    }
}
