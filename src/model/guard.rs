//! What stands in front of an application, and of single paths of it.

use std::fmt;
use std::sync::Arc;

use super::access::Access;
use super::condition::PathRule;

/// What happens before anything reaches an application, or a path of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guard {
    /// By what people and programs are told apart, in order. Never empty.
    pub pre_authentication: Vec<PreAuthentication>,
    /// Who of those that are known may pass.
    pub access: Access,
}

impl Guard {
    /// One by methods and rules.
    #[must_use]
    pub const fn new(pre_authentication: Vec<PreAuthentication>, access: Access) -> Self {
        Self {
            pre_authentication,
            access,
        }
    }

    /// Whether this is one of its methods.
    #[must_use]
    pub fn has(&self, method: PreAuthentication) -> bool {
        self.pre_authentication.contains(&method)
    }

    /// Whether it lets everybody in, whatever they ask for.
    fn is_open(&self) -> bool {
        self.pre_authentication == [PreAuthentication::Passthrough] && self.access.is_empty()
    }
}

/// A path and all below it, with a guard of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardedPath {
    /// The path.
    pub path: PathRule,
    /// What stands in front of it.
    pub guard: Guard,
}

/// The paths of an application that have guards of their own; the deeper ones first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GuardedPaths(Arc<[GuardedPath]>);

/// A path is spelled in a way that some servers take for another path, which has another guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AmbiguousPath;

impl GuardedPaths {
    /// Takes them in any order.
    #[must_use]
    pub fn new(mut paths: Vec<GuardedPath>) -> Self {
        paths.sort_by_key(|one| std::cmp::Reverse(one.path.as_str().len()));
        Self(paths.into())
    }

    /// All of them, the deeper ones first.
    #[must_use]
    pub fn all(&self) -> &[GuardedPath] {
        &self.0
    }

    /// What stands in front of a path; `usual` in front of all that no other does. `folded` is the path
    /// as servers may read it that do not tell letters, parameters and empty segments apart.
    ///
    /// SECURITY (DESIGN 8, rule 2): what lets everybody in does so for the very octets alone, and what
    /// keeps out does so however the path is spelled.
    ///
    /// # Errors
    /// Where two guards might be meant, and neither lets everybody in.
    pub(super) fn of<'a>(
        &'a self,
        usual: &'a Guard,
        path: &str,
        folded: impl FnOnce() -> String,
    ) -> Result<&'a Guard, AmbiguousPath> {
        if self.0.is_empty() {
            return Ok(usual);
        }
        let of = |covers: &dyn Fn(&PathRule) -> bool| {
            let found = self.0.iter().find(|one| covers(&one.path));
            found.map_or(usual, |one| &one.guard)
        };
        let exact = of(&|rule| rule.covers(path));
        let folded = folded();
        let closing = of(&|rule| rule.covers_folded(&folded));
        if std::ptr::eq(exact, closing) || closing.is_open() {
            Ok(exact)
        } else if exact.is_open() {
            Ok(closing)
        } else {
            Err(AmbiguousPath)
        }
    }
}

/// By what people and programs are told apart before anything reaches the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PreAuthentication {
    /// By nothing: the application looks after itself.
    Passthrough,
    /// By a browser's session, begun by signing in at an OpenID Connect provider.
    Oidc,
    /// By an access token of an OpenID Connect provider (RFC 6750, RFC 9068).
    Bearer,
    /// By a token of the gateway's own.
    ServiceToken,
    /// By a certificate that the client shows in the TLS handshake.
    ClientCertificate,
    /// Everybody has a session, for tests of what holds where there is one.
    #[cfg(test)]
    Assumed,
}

impl fmt::Display for PreAuthentication {
    /// As an operator writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Passthrough => "passthrough",
            Self::Oidc => "oidc",
            Self::Bearer => "bearer",
            Self::ServiceToken => "service_token",
            Self::ClientCertificate => "client_certificate",
            #[cfg(test)]
            Self::Assumed => "assumed",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::access::AccessRule;
    use super::super::condition::Condition;
    use super::*;

    fn guard(method: PreAuthentication, group: Option<&str>) -> Guard {
        let rule = |group: &str| AccessRule::new(Condition::Group(group.into()), false);
        let access = Access::new(group.into_iter().map(rule).collect(), Vec::new());
        Guard::new(vec![method], access)
    }

    #[test]
    fn rule_02_a_path_opens_by_its_octets_and_closes_however_it_is_spelled() {
        use PreAuthentication::{Bearer, Oidc, Passthrough};
        let usual = guard(Oidc, Some("staff"));
        let open = guard(Passthrough, None);
        let api = guard(Bearer, Some("staff"));
        let deep = guard(Bearer, Some("robots"));
        let paths = |all: &[(&str, &Guard)]| {
            let all = all.iter().map(|(path, guard)| GuardedPath {
                path: PathRule::new(path).unwrap(),
                guard: (*guard).clone(),
            });
            GuardedPaths::new(all.collect())
        };
        let several = paths(&[("/api/", &api), ("/api/robots/", &deep), ("/hook/", &open)]);
        let closed = paths(&[("/admin/", &usual)]);
        for (paths, before, path, folded, expected) in [
            (&several, &usual, "/", "/", Ok(&usual)),
            (&several, &usual, "/api", "/api", Ok(&api)),
            (&several, &usual, "/api/x", "/api/x", Ok(&api)),
            (&several, &usual, "/apis", "/apis", Ok(&usual)),
            (
                &several,
                &usual,
                "/api/robots/1",
                "/api/robots/1",
                Ok(&deep),
            ),
            (&several, &usual, "/hook/1", "/hook/1", Ok(&open)),
            // What opens does not for another spelling.
            (&several, &usual, "/Hook/1", "/hook/1", Ok(&usual)),
            (&several, &usual, "/hook;x/1", "/hook/1", Ok(&usual)),
            // Neither lets everybody in, and which one is meant cannot be told.
            (&several, &usual, "/API/x", "/api/x", Err(AmbiguousPath)),
            (
                &several,
                &usual,
                "/api/Robots",
                "/api/robots",
                Err(AmbiguousPath),
            ),
            (
                &several,
                &usual,
                "/api//robots",
                "/api/robots",
                Err(AmbiguousPath),
            ),
            // What closes does however it is spelled.
            (&closed, &open, "/ADMIN/x", "/admin/x", Ok(&usual)),
            (&closed, &open, "/x", "/x", Ok(&open)),
        ] {
            let found = paths.of(before, path, || folded.to_owned());
            assert_eq!(found, expected, "{path}");
        }
    }
}
