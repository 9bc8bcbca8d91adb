//! What the gateway itself says for an application, before and beside what the application says.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::brand::LogoFile;
use super::cors::Cors;

/// What the gateway does for an application without asking it. The default does nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Front {
    /// `Strict-Transport-Security` of its host; `None`: what the application says of its host alone.
    pub hsts: Option<Hsts>,
    /// It is closed, but for some.
    pub maintenance: Option<Arc<Maintenance>>,
    /// Search engines are told to stay away.
    pub denies_robots: bool,
    /// Where a visitor of its root is sent: a path below it, with a query or fragment if need be.
    pub home: Option<Arc<str>>,
    /// It may clear what browsers keep for its whole host, though others are published there too.
    pub clears_site_data: bool,
    /// What pages of other origins may ask of it; `None`: it looks after that itself, and nothing where
    /// people sign in.
    pub cors: Option<Arc<Cors>>,
    /// Its answers may be kept for everybody, though people sign in to it.
    pub is_cached_for_all: bool,
    /// Its picture for those who may open it.
    pub icon: Option<Arc<LogoFile>>,
    /// It is not shown to them.
    pub is_hidden: bool,
}

/// A promise that a host is to be asked for over TLS alone (RFC 6797).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hsts {
    /// How long browsers are to remember it; zero makes them forget.
    pub max_age: Duration,
    /// Every name below the host too.
    pub include_subdomains: bool,
    /// Browsers may be delivered with it.
    pub preload: bool,
}

impl Hsts {
    /// The field's value (RFC 6797 section 6.1).
    #[must_use]
    pub fn value(&self) -> String {
        let mut value = format!("max-age={}", self.max_age.as_secs());
        if self.include_subdomains {
            value.push_str("; includeSubDomains");
        }
        if self.preload {
            value.push_str("; preload");
        }
        value
    }
}

/// An application that is closed for a while.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Maintenance {
    /// What visitors are told instead of our own sentence.
    pub message: Option<Arc<str>>,
    /// When they are to come again.
    pub retry_after: Option<Duration>,
    /// Addresses for which it is open.
    pub allow: Vec<IpNet>,
}

impl Maintenance {
    /// Whether a client finds the application open all the same.
    #[must_use]
    pub fn is_open_for(&self, client: IpAddr) -> bool {
        let client = client.to_canonical();
        self.allow.iter().any(|network| network.contains(&client))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promise_reads_as_rfc_6797_has_it() {
        let year = Duration::from_secs(365 * 86400);
        for (include_subdomains, preload, expected) in [
            (false, false, "max-age=31536000"),
            (true, false, "max-age=31536000; includeSubDomains"),
            (true, true, "max-age=31536000; includeSubDomains; preload"),
        ] {
            let hsts = Hsts {
                max_age: year,
                include_subdomains,
                preload,
            };
            assert_eq!(hsts.value(), expected);
        }
    }

    #[test]
    fn it_is_open_for_whom_it_names_and_nobody_else() {
        let closed = Maintenance {
            allow: vec![
                "192.0.2.0/24".parse().unwrap(),
                "2001:db8::1/128".parse().unwrap(),
            ],
            ..Maintenance::default()
        };
        for (client, open) in [
            ("192.0.2.7", true),
            ("::ffff:192.0.2.7", true),
            ("192.0.3.7", false),
            ("2001:db8::1", true),
            ("2001:db8::2", false),
        ] {
            assert_eq!(
                closed.is_open_for(client.parse().unwrap()),
                open,
                "{client}"
            );
        }
        assert!(!Maintenance::default().is_open_for("192.0.2.7".parse().unwrap()));
    }
}
