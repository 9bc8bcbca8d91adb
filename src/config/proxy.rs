//! Proxies on the way out: a key of the file, or the variables that curl reads.

use std::path::Path;

use super::ConnectorConfig;
use super::field::Field;
use crate::model::{
    Endpoint, Finding, Host, Place, Proxy, ProxyCredentials, ProxyException, ProxyScheme,
    SecretSource,
};

/// What a proxy key says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProxySetting {
    /// There is no key.
    Unsaid,
    /// `none`.
    None,
    /// This one.
    Use(ProxyConfig),
}

impl ProxySetting {
    /// The proxy that is written, its password read.
    fn open(&self) -> Result<Option<Proxy>, Vec<Finding>> {
        match self.clone() {
            Self::Use(proxy) => proxy.open().map(Some),
            Self::Unsaid | Self::None => Ok(None),
        }
    }

    /// The same; where there is no key, the environment's. The second part has the entries of the
    /// environment's exceptions that mean nothing. `remedy` is for a variable that is no proxy.
    pub(super) fn open_or_environment(
        &self,
        variable: impl Fn(&str) -> Option<String>,
        remedy: &str,
    ) -> Result<(Option<Proxy>, Vec<String>), Vec<Finding>> {
        if !matches!(self, Self::Unsaid) {
            return Ok((self.open()?, Vec::new()));
        }
        match proxy_of_environment(variable) {
            Ok(Some((proxy, unread))) => Ok((Some(proxy), unread)),
            Ok(None) => Ok((None, Vec::new())),
            Err(why) => Err(vec![Finding::error("bad_url", why, remedy)]),
        }
    }
}

/// A proxy as it is written; its password is read by [`ConnectorConfig::proxies`], or by
/// [`super::IdentityProvider::proxy`].
#[derive(Debug, Clone)]
pub struct ProxyConfig {
    scheme: ProxyScheme,
    endpoint: Endpoint,
    username: Option<String>,
    password: Option<SecretSource>,
    except: Vec<ProxyException>,
    place: Place,
}

/// Wherever it stands: a line above it makes it no other one.
impl PartialEq for ProxyConfig {
    fn eq(&self, other: &Self) -> bool {
        let Self {
            scheme,
            endpoint,
            username,
            password,
            except,
            place: _,
        } = self;
        (scheme, endpoint, username, password, except)
            == (
                &other.scheme,
                &other.endpoint,
                &other.username,
                &other.password,
                &other.except,
            )
    }
}

impl Eq for ProxyConfig {}

const URL: &str = "write `http://proxy.corp.local:3128`, `socks5h://proxy.corp.local:1080` (the \
                   proxy resolves names) or `socks5://…` (names are resolved here)";

impl ProxyConfig {
    /// Reads the password.
    ///
    /// # Errors
    /// Where its place cannot be read, or the proxy's protocol cannot carry it.
    fn open(self) -> Result<Proxy, Vec<Finding>> {
        let credentials = match (&self.username, &self.password) {
            (Some(username), Some(source)) => {
                let password = source.read().map_err(|e| {
                    let remedy = "make it readable for the account appproxy runs as";
                    vec![Finding::error("bad_secret", e.to_string(), remedy).at(self.place.clone())]
                })?;
                Some(ProxyCredentials {
                    username: username.clone(),
                    password,
                })
            }
            _ => None,
        };
        Ok(Proxy {
            scheme: self.scheme,
            endpoint: self.endpoint,
            credentials,
            except: self.except,
            named_by: format!("`{}` in {}", self.place.key, self.place.file.display()).into(),
        })
    }
}

/// The proxies of a connector, ready for use.
#[derive(Debug, Clone, Default)]
pub struct Proxies {
    /// On the way to gateways.
    pub tunnel: Option<Proxy>,
    /// On the way to applications.
    pub backend: Option<Proxy>,
    /// Entries of the environment's exceptions that mean nothing, each as a sentence.
    pub unread: Vec<String>,
}

impl ConnectorConfig {
    /// Reads the passwords of the proxies. Where no key says how gateways are reached, the
    /// environment does; applications are in the private network, and reached without a proxy
    /// unless a key names one.
    ///
    /// # Errors
    /// With every password that cannot be read, or with the variable that is no proxy.
    pub fn proxies(
        &self,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Proxies, Vec<Finding>> {
        let remedy = "correct the variable, or write `tunnel_proxy: none` in connector.yaml";
        let tunnel = self.tunnel_proxy.open_or_environment(variable, remedy);
        match (tunnel, self.backend_proxy.open()) {
            (Ok((tunnel, unread)), Ok(backend)) => Ok(Proxies {
                tunnel,
                backend,
                unread,
            }),
            (tunnel, backend) => Err([tunnel.err(), backend.err()]
                .into_iter()
                .flatten()
                .flatten()
                .collect()),
        }
    }
}

/// Reads a proxy key.
pub(super) fn proxy(field: Field<'_>, folder: &Path) -> Option<ProxySetting> {
    if field.is_word("none") {
        return Some(ProxySetting::None);
    }
    field.section(&[], |section| {
        let url = section.required("url", "http://proxy.corp.local:3128");
        let url = url.and_then(url_of);
        let at_username = section.optional("username");
        let username = at_username.map(username);
        let at_password = section.optional("password");
        let password = at_password.map(|field| field.secret(folder));
        let except = section
            .optional("except")
            .map(|field| field.distinct(exception));
        match (at_username, at_password) {
            (Some(_), None) => section.error_at_key(
                "username",
                "missing_key",
                "there is a `username` and no `password`",
                "add `password: { file: PATH }`",
            ),
            (None, Some(_)) => section.error_at_key(
                "password",
                "missing_key",
                "there is a `password` and no `username`",
                "add `username: NAME`",
            ),
            _ => {}
        }
        let (scheme, endpoint) = url?;
        Some(ProxySetting::Use(ProxyConfig {
            scheme,
            endpoint,
            username: username.map_or(Some(None), |u| u.map(Some))?,
            password: password.map_or(Some(None), |p| p.map(Some))?,
            except: except.unwrap_or_else(|| Some(Vec::new()))?,
            place: field.place().clone(),
        }))
    })?
}

fn url_of(field: Field<'_>) -> Option<(ProxyScheme, Endpoint)> {
    let text = field.text()?;
    match parse_url(text) {
        Ok((_, _, Some(_))) => field.refuse(
            "bad_url",
            "a user name or password cannot stand in the URL",
            "remove everything up to and including the `@`, and write `username` and `password`",
        ),
        Ok((scheme, endpoint, None)) => Some((scheme, endpoint)),
        Err(why) => field.refuse("bad_url", why, URL),
    }
}

fn username(field: Field<'_>) -> Option<String> {
    let text = field.text()?;
    if text.contains(':') || text.contains(char::is_control) || text.len() > 255 {
        return field.refuse(
            "bad_name",
            "this is no user name of a proxy: it is too long, or has a `:` or a control character",
            "write the name alone; the password has a key of its own",
        );
    }
    Some(text.to_owned())
}

fn exception(field: Field<'_>) -> Option<ProxyException> {
    let remedy = "write a name (which stands for those below it too), an address or a network, \
                  with a port or without: `corp.local`, `10.0.0.0/8`, `gw.corp.local:443`";
    field.parse("bad_host", remedy, ProxyException::parse)
}

/// The user information of a proxy's URL: name and password.
type UserInformation = (String, String);

/// Reads a proxy's URL. What is before an `@` may be a password: no error repeats the text.
fn parse_url(text: &str) -> Result<(ProxyScheme, Endpoint, Option<UserInformation>), String> {
    let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
    let (scheme, port) = match scheme.to_ascii_lowercase().as_str() {
        "http" => (ProxyScheme::Http, 80),
        "socks5" => (ProxyScheme::Socks5, 1080),
        "socks5h" => (ProxyScheme::Socks5h, 1080),
        "https" => return Err("TLS to the proxy itself is not built".to_owned()),
        _ => return Err("this is no scheme of a proxy".to_owned()),
    };
    let (information, rest) = match rest.rsplit_once('@') {
        Some((before, rest)) => {
            let (name, password) = before.split_once(':').unwrap_or((before, ""));
            (Some((decoded(name)?, decoded(password)?)), rest)
        }
        None => (None, rest),
    };
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.contains('/') {
        return Err("a proxy's URL has no path".to_owned());
    }
    let has_port = authority.rfind(':') > authority.rfind(']');
    let endpoint = if has_port {
        Endpoint::parse(authority).map_err(|e| e.to_string())?
    } else {
        let host = Host::parse(authority).map_err(|e| e.to_string())?;
        Endpoint { host, port }
    };
    Ok((scheme, endpoint, information))
}

fn decoded(text: &str) -> Result<String, String> {
    let broken = || "its user name or password is not properly percent-encoded".to_owned();
    let mut octets = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'%' {
            octets.push(*first);
            continue;
        }
        let digits = after.get(..2).and_then(|d| std::str::from_utf8(d).ok());
        let octet = digits.and_then(|d| u8::from_str_radix(d, 16).ok());
        octets.push(octet.ok_or_else(broken)?);
        rest = &after[2..];
    }
    String::from_utf8(octets).map_err(|_| broken())
}

/// The proxy that the environment names for the way to a gateway: `HTTPS_PROXY`, then `ALL_PROXY`,
/// in small letters first, and `NO_PROXY` for exceptions, as curl has it. `None` where none is
/// named. An exception that cannot be read is left out, as elsewhere; the second part says so.
///
/// # Errors
/// Where the variable is no proxy's URL.
fn proxy_of_environment(
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<(Proxy, Vec<String>)>, String> {
    let set = |name: &'static str| {
        let value = variable(name)?;
        (!value.is_empty()).then_some((name, value))
    };
    let names = ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
    let Some((name, url)) = names.into_iter().find_map(set) else {
        return Ok(None);
    };
    let (scheme, endpoint, information) = parse_url(&url)
        .map_err(|why| format!("the environment's {name} is no proxy that can be used: {why}"))?;
    let entries = ["no_proxy", "NO_PROXY"].into_iter().find_map(set);
    let entries = entries.map(|(_, list)| list).unwrap_or_default();
    let (mut except, mut unread) = (Vec::new(), Vec::new());
    for entry in entries.split([',', ' ']).filter(|e| !e.is_empty()) {
        match ProxyException::parse(entry) {
            Ok(exception) => except.push(exception),
            Err(why) => unread.push(why),
        }
    }
    let credentials = information.map(|(username, password)| ProxyCredentials {
        username,
        password: password.into(),
    });
    let proxy = Proxy {
        scheme,
        endpoint,
        credentials,
        except,
        named_by: format!("{name} in the environment").into(),
    };
    Ok(Some((proxy, unread)))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn urls_of_proxies_are_read_as_curl_reads_them() {
        for (url, scheme, endpoint, user) in [
            ("http://p:3128", ProxyScheme::Http, "p:3128", None),
            ("http://p:3128/", ProxyScheme::Http, "p:3128", None),
            ("p:3128", ProxyScheme::Http, "p:3128", None),
            ("http://p", ProxyScheme::Http, "p:80", None),
            ("HTTP://P", ProxyScheme::Http, "p:80", None),
            ("socks5://[::1]", ProxyScheme::Socks5, "[::1]:1080", None),
            ("socks5h://p:99", ProxyScheme::Socks5h, "p:99", None),
            (
                "http://u:p%40w@p:1",
                ProxyScheme::Http,
                "p:1",
                Some(("u", "p@w")),
            ),
            ("http://u@p:1", ProxyScheme::Http, "p:1", Some(("u", ""))),
        ] {
            let (s, e, u) = parse_url(url).unwrap();
            assert_eq!((s, e.to_string().as_str()), (scheme, endpoint), "{url}");
            let u = u.as_ref().map(|(n, p)| (n.as_str(), p.as_str()));
            assert_eq!(u, user, "{url}");
        }
        for url in [
            "",
            "https://p:3128",
            "ftp://p",
            "http://",
            "http://p:0",
            "http://p:x",
            "http://p/path",
            "http://u:%zz@p:1",
            "http://hunter2@",
        ] {
            let why = parse_url(url).unwrap_err();
            assert!(!why.contains("hunter2"), "{why}");
        }
    }

    #[test]
    fn the_environment_names_a_proxy_as_it_does_to_others() {
        let environment = |all: &'static [(&str, &str)]| {
            move |name: &str| {
                let found = all.iter().find(|(n, _)| *n == name);
                found.map(|(_, value)| (*value).to_owned())
            }
        };
        let none = proxy_of_environment(environment(&[
            ("HTTPS_PROXY", ""),
            ("HTTP_PROXY", "http://x"),
        ]));
        assert!(none.unwrap().is_none());
        let (proxy, unread) = proxy_of_environment(environment(&[
            ("ALL_PROXY", "socks5://other"),
            ("HTTPS_PROXY", "http://svc:hunter2@p:3128"),
            ("NO_PROXY", "corp.local, 10.0.0.0/8,a:b"),
        ]))
        .unwrap()
        .unwrap();
        assert_eq!(proxy.to_string(), "p:3128 (HTTPS_PROXY in the environment)");
        assert_eq!(unread.len(), 1);
        let credentials = proxy.credentials.as_ref().unwrap();
        assert_eq!(credentials.password.expose_secret(), "hunter2");
        let serves = |target: &str| proxy.serves(&Endpoint::parse(target).unwrap());
        assert!(serves("gw.example.com:443"));
        assert!(!serves("gw.corp.local:443") && !serves("10.9.9.9:443"));
        let bad = proxy_of_environment(environment(&[("https_proxy", "https://hunter2@p")]));
        let why = bad.unwrap_err();
        assert!(
            why.contains("https_proxy") && !why.contains("hunter2"),
            "{why}"
        );
    }
}
