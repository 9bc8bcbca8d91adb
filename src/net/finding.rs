//! What a failed dial means for whoever looks for the cause.

use super::dial::DialError;
use super::proxy::ProxyFault;
use super::resolve::ResolveError;
use crate::model::Finding;

impl DialError {
    /// The word for the step at which it ended.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        self.explained().0
    }

    /// Why there is no connection, by the step at which it ended.
    #[must_use]
    pub fn finding(&self) -> Finding {
        let (code, remedy) = self.explained();
        Finding::error(code, self.to_string(), remedy)
    }

    const fn explained(&self) -> (&'static str, &'static str) {
        match self {
            Self::Resolve(ResolveError::NoServers { .. }) => (
                "dns_no_server",
                "name a server in /etc/resolv.conf, or write the address in the place of the name",
            ),
            Self::Resolve(_) => (
                "dns_failed",
                "check the name, and what your DNS says of it: `dig NAME`",
            ),
            Self::Refused { .. } => (
                "port_closed",
                "check the port, and whether the server runs: `ss -ltn` there",
            ),
            Self::Timeout { .. } => (
                "no_answer",
                "check the firewalls on the way, and whether the address is the right one",
            ),
            Self::NoProxy { .. } => (
                "proxy_away",
                "check host and port of the proxy in its setting or in HTTPS_PROXY, and whether it runs",
            ),
            Self::Proxy { fault, .. } => of_proxy(fault),
            Self::NotPermitted(_) => (
                "gateway_not_dialled",
                "write it under `gateways:` of connector.yaml where it may be dialled there, or give its name this address under `dns: { hosts: … }`",
            ),
            Self::Unreachable { .. } => (
                "unreachable",
                "check the way there: `ip route get ADDRESS`, firewalls, and proxies",
            ),
        }
    }
}

const fn of_proxy(fault: &ProxyFault) -> (&'static str, &'static str) {
    match fault {
        ProxyFault::PasswordWanted { .. } | ProxyFault::PasswordRefused { .. } => (
            "proxy_password",
            "give `tunnel_proxy` (for applications `backend_proxy`) the `username` and `password` that the proxy wants, or let the proxy take this host without",
        ),
        ProxyFault::Scheme { .. } => (
            "proxy_scheme",
            "let the proxy accept Basic, or this host without a password: NTLM and Negotiate are not spoken with proxies",
        ),
        ProxyFault::Forbidden { .. } => (
            "proxy_forbids",
            "permit CONNECT to this host and port in the proxy's rules, for this host",
        ),
        ProxyFault::Unreachable { .. } => (
            "proxy_no_way",
            "the proxy itself does not get there: check its DNS and its firewall, or except the host with `NO_PROXY` or `no_proxy`",
        ),
        ProxyFault::Answer { .. } | ProxyFault::NotAProxy { .. } | ProxyFault::Broken(_) => (
            "not_a_proxy",
            "check scheme, host and port of the proxy: what answers there does not carry connections",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Endpoint;

    #[test]
    fn what_a_proxy_says_has_a_code_of_its_own() {
        let text = || "Basic".to_owned();
        for (fault, code) in [
            (
                ProxyFault::PasswordWanted { offered: text() },
                "proxy_password",
            ),
            (
                ProxyFault::PasswordRefused { username: text() },
                "proxy_password",
            ),
            (ProxyFault::Scheme { offered: text() }, "proxy_scheme"),
            (ProxyFault::Forbidden { said: text() }, "proxy_forbids"),
            (ProxyFault::Unreachable { said: text() }, "proxy_no_way"),
            (ProxyFault::Answer { said: text() }, "not_a_proxy"),
            (ProxyFault::NotAProxy { spoken: "HTTP" }, "not_a_proxy"),
        ] {
            let error = DialError::Proxy {
                target: Endpoint::parse("gw.example.com:443").unwrap(),
                proxy: "proxy:3128".to_owned(),
                fault,
            };
            let finding = error.finding();
            assert_eq!((finding.code, error.code()), (code, code));
            assert!(finding.what.contains("proxy:3128"), "{}", finding.what);
        }
    }
}
