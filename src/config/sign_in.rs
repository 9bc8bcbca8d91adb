//! Where people sign in, and for how long: `sign_in` and `session`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::field::Field;
use super::section::Section;
use super::{IdentityProvider, brand, provider};
use crate::model::{
    Application, Brand, ExternalUrl, Host, HostPattern, Mode, Scheme, SessionLife, SignIn,
};

/// Keys of `sign_in` not built yet.
const LATER: &[&str] = &["launcher"];

/// The shortest that makes sense: a page and what it loads.
const SHORTEST: Duration = Duration::from_secs(60);

/// How applications may ask for sign-in.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// `sign_in` is written.
    pub(super) has_host: bool,
    /// The names of `identity_providers`; `None` where there is no such key.
    pub(super) providers: Option<Vec<Arc<str>>>,
}

impl Asked {
    pub(super) fn has_several(&self) -> bool {
        self.providers.as_ref().is_some_and(|all| all.len() > 1)
    }

    /// The name of an identity provider.
    pub(super) fn provider(&self, field: Field<'_>) -> Option<Arc<str>> {
        let name = field.text()?;
        // Where there are none that is what is to be said.
        let Some(all) = self.providers.as_deref() else {
            return Some(name.into());
        };
        match all.iter().find(|known| ***known == *name) {
            Some(known) => Some(Arc::clone(known)),
            None => field.refuse(
                "unknown_provider",
                format!("there is no identity provider `{name}`"),
                format!("write one of: {}", all.join(", ")),
            ),
        }
    }

    /// Whether people can sign in at all; what is missing for it is noted.
    pub(super) fn check(&self, field: Field<'_>) -> Option<()> {
        let missing = match (self.has_host, &self.providers) {
            (true, Some(_)) => return Some(()),
            (false, Some(_)) => "`sign_in: { url: https://login.example.com/ }`",
            (true, None) => "`identity_providers`",
            (false, None) => {
                "`sign_in: { url: https://login.example.com/ }` and `identity_providers`"
            }
        };
        field.refuse(
            "no_sign_in",
            "no identity provider says who somebody is at this gateway",
            format!("add {missing} at the top of the file"),
        )
    }
}

/// What a gateway's file says of people: who says who they are, where, for how long, and how our own
/// pages look. Absent, or written and refused, or good.
pub(super) struct People {
    pub(super) providers: Option<Option<Vec<Arc<IdentityProvider>>>>,
    pub(super) host: Option<Option<SignIn>>,
    pub(super) session: Option<Option<SessionLife>>,
    pub(super) brand: Option<Option<Brand>>,
}

impl People {
    pub(super) fn read(root: &Section<'_>, folder: &Path) -> Self {
        let providers = root.optional("identity_providers");
        let host = root.optional("sign_in").map(sign_in);
        let session = root.optional("session").map(session);
        let brand = root.optional("brand");
        Self {
            providers: providers.map(|field| provider::read(field, folder)),
            host,
            session,
            brand: brand.map(|field| brand::read(field, folder)),
        }
    }

    pub(super) fn asked(&self) -> Asked {
        let names = |all: &Vec<Arc<IdentityProvider>>| {
            let names = all.iter().map(|provider| provider.name.as_str().into());
            names.collect()
        };
        let providers = self.providers.as_ref();
        Asked {
            has_host: self.host.is_some(),
            // Where they cannot be read, that is what is to be said.
            providers: providers.map(|read| read.as_ref().map(names).unwrap_or_default()),
        }
    }

    /// What people's cookies ask of the hosts of applications.
    pub(super) fn check(&self, section: &Section<'_>, applications: Option<&[Application]>) {
        if let (Some(Some(sign_in)), Some(applications)) = (&self.host, applications) {
            check_host(section, sign_in, applications);
            check_ports(section, applications);
        }
    }
}

/// `sign_in`.
fn sign_in(field: Field<'_>) -> Option<SignIn> {
    const FORM: &str = "write a host of its own over https, such as `https://login.example.com/`";
    field.section(LATER, |section| {
        let url = section.required("url", "https://login.example.com/");
        let url = url.and_then(|field| {
            let url = field.parse_host(FORM, ExternalUrl::parse)?;
            let why = match (&url.scheme, &url.host, url.path.as_str()) {
                (Scheme::Https, HostPattern::Exact(Host::Name(_)), "/") => return Some(url),
                (Scheme::Http, ..) => "sign-in needs https: cookies would be anybody's",
                (_, HostPattern::Wildcard { .. }, _) => "people sign in at one host",
                (_, HostPattern::Exact(Host::Address(_)), _) => {
                    "an address can have no certificate of its own"
                }
                _ => "the whole host is for signing in",
            };
            field.refuse("bad_url", why, FORM)
        });
        let fragment = section.optional("fragment").map(fragment);
        let forms = section.optional("forms").map(forms);
        let url = url?;
        let HostPattern::Exact(host) = url.host else {
            return None;
        };
        Some(SignIn {
            host,
            port: url.port,
            keeps_fragment: match fragment {
                Some(read) => read?,
                None => true,
            },
            keeps_forms: match forms {
                Some(read) => read?,
                None => true,
            },
        })
    })?
}

fn forms(field: Field<'_>) -> Option<bool> {
    match field.text()? {
        "keep" => Some(true),
        "off" | "false" => Some(false),
        other => field.refuse(
            "bad_value",
            format!("`{other}` is nothing to do with forms whose session has ended"),
            "write `keep`, or `off` to have them refused",
        ),
    }
}

fn fragment(field: Field<'_>) -> Option<bool> {
    match field.text()? {
        "keep" => Some(true),
        // What some editors make of it.
        "off" | "false" => Some(false),
        other => field.refuse(
            "bad_value",
            format!("`{other}` is nothing to do with the part behind `#`"),
            "write `keep`, or `off` for a plain redirect that loses it",
        ),
    }
}

/// `session`.
fn session(field: Field<'_>) -> Option<SessionLife> {
    field.section(&[], |section| {
        let usual = SessionLife::default();
        let duration = |name| {
            section.optional(name).map(|field| {
                let duration = field.duration()?;
                if duration < SHORTEST {
                    let what = "nobody would be signed in for long enough to read a page";
                    return field.refuse("out_of_range", what, "write `1m` or more");
                }
                Some(duration)
            })
        };
        let (idle, lifetime) = (duration("idle"), duration("lifetime"));
        let life = SessionLife {
            lifetime: lifetime.unwrap_or(Some(usual.lifetime))?,
            idle: match idle {
                Some(read) => read?,
                None => usual.idle,
            },
        };
        // Where only the lifetime is written, it may be the shorter one.
        let (whole, written) = (life.lifetime, idle.is_some());
        if life.idle > whole && written {
            section.error_at_key(
                "idle",
                "conflict",
                "it is longer than `lifetime`, and would never count",
                "make it shorter, or remove it",
            );
            return None;
        }
        Some(SessionLife {
            idle: life.idle.min(whole),
            ..life
        })
    })?
}

/// SECURITY: cookies do not tell ports apart, so what is at another port of a host could give somebody
/// another person's session there.
fn check_ports(section: &Section<'_>, applications: &[Application]) {
    let all = || {
        applications.iter().flat_map(|application| {
            let urls = application.external_urls();
            urls.filter(|url| url.scheme == Scheme::Https)
                .map(move |url| (application, url))
        })
    };
    for (application, url) in all().filter(|(application, _)| application.signs_in()) {
        let other = all().find(|(_, other)| other.port != url.port && meet(&other.host, &url.host));
        if let Some((other, at)) = other {
            section.error_at_key(
                "applications",
                "conflict",
                &format!(
                    "people sign in to `{}` at `{url}`, and `{}` is at another port of that host, `{at}`",
                    application.name, other.name
                ),
                "give each a host of its own: cookies do not tell ports apart",
            );
            return;
        }
    }
}

/// Whether there can be a host that both stand for.
fn meet(one: &HostPattern, other: &HostPattern) -> bool {
    match (one, other) {
        (HostPattern::Exact(host), pattern @ HostPattern::Wildcard { .. })
        | (pattern @ HostPattern::Wildcard { .. }, HostPattern::Exact(host)) => {
            pattern.matches(host).is_some()
        }
        (one, other) => one == other,
    }
}

/// The sign-in host is nobody else's.
fn check_host(section: &Section<'_>, sign_in: &SignIn, applications: &[Application]) {
    let urls = applications.iter().flat_map(|application| {
        application
            .external_urls()
            .map(move |url| (application, url))
    });
    for (application, url) in urls {
        let own = HostPattern::Exact(sign_in.host.clone());
        // Where TLS passes through, the server name has decided before the sign-in host is looked for.
        let takes_it = application.mode == Mode::TlsPassthrough && meet(&url.host, &own);
        if url.host == own || takes_it {
            section.error_at_key(
                "sign_in",
                "conflict",
                &format!(
                    "`{}` is also where the application `{}` is",
                    sign_in.host, application.name
                ),
                "give sign-in a host of its own: an application there could act as the sign-in",
            );
            return;
        }
    }
}
