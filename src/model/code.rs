//! The closed list of error codes: the same word in log, metric, page, JSON and documents.

use std::fmt;

/// On whose side an error lies; the error page says it in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// The browser or program that sent the request.
    Client,
    /// The gateway, its configuration or its store.
    Gateway,
    /// The identity provider.
    Provider,
    /// The connector, or the tunnel between it and the gateway.
    Connector,
    /// The published application behind the connector.
    Application,
}

impl Side {
    /// The word for programs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Gateway => "gateway",
            Self::Provider => "provider",
            Self::Connector => "connector",
            Self::Application => "application",
        }
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $text:literal, $side:ident;)*) => {
        /// Every way a request can end without an application's answer.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ErrorCode { $($(#[$doc])* $variant,)* }

        impl ErrorCode {
            /// All codes, in the order of the documents.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The code as it stands in logs, metrics, pages and JSON.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// Whose side the error lies on.
            #[must_use]
            pub const fn side(self) -> Side {
                match self { $(Self::$variant => Side::$side,)* }
            }

            /// The code a word stands for; `None` for a word that is not in the list.
            #[must_use]
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($text => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

codes! {
    /// The request is malformed or ambiguous and was refused before any decision.
    BadRequest = "bad_request", Client;
    /// No application is published under this host and path.
    NoRoute = "no_route", Client;
    /// The connection was opened for another host whose TLS policy differs.
    Misdirected = "misdirected", Client;
    /// A rule does not allow this request.
    Denied = "denied", Client;
    /// An unsafe request came from another origin.
    CrossOrigin = "cross_origin", Client;
    /// Nobody is signed in.
    SignInRequired = "sign_in_required", Client;
    /// A token is missing, or the one that came is not accepted.
    TokenRequired = "token_required", Client;
    /// The client has shown no certificate that counts.
    CertificateRequired = "certificate_required", Client;
    /// The request's header fields are larger or more than the gateway takes.
    TooLarge = "too_large", Client;
    /// The request's body is larger than this application takes.
    BodyTooLarge = "body_too_large", Client;
    /// The request did not arrive in time.
    RequestTimeout = "request_timeout", Client;
    /// Too many requests.
    Throttled = "throttled", Client;
    /// Sign-in ended without a session.
    SignInFailed = "sign_in_failed", Provider;
    /// The identity provider does not answer.
    ProviderUnavailable = "provider_unavailable", Provider;
    /// The operator has closed the application for a while.
    Maintenance = "maintenance", Gateway;
    /// No connector of the application's groups is connected.
    NoConnector = "no_connector", Connector;
    /// Every tunnel carries as many requests as it may.
    TunnelBusy = "tunnel_busy", Connector;
    /// The gateway cannot read its store.
    StoreUnavailable = "store_unavailable", Gateway;
    /// The tunnel broke while the request was in it.
    TunnelLost = "tunnel_lost", Connector;
    /// The connector may not reach the application's address: its allow-list does not name it.
    TargetRefused = "target_refused", Connector;
    /// The application's name does not resolve where the connector stands.
    BackendDns = "backend_dns", Application;
    /// The application does not take connections.
    BackendRefused = "backend_refused", Application;
    /// The application's certificate is for another name.
    BackendTlsName = "backend_tls_name", Application;
    /// The application's certificate is not trusted by the connector, or TLS failed otherwise.
    BackendTlsTrust = "backend_tls_trust", Application;
    /// The application's answer is not proper HTTP.
    BackendBadResponse = "backend_bad_response", Application;
    /// The application did not take the connection in time.
    BackendConnectTimeout = "backend_connect_timeout", Application;
    /// The application did not begin its answer in time.
    BackendFirstByteTimeout = "backend_first_byte_timeout", Application;
    /// The application's answer stopped half way.
    BackendIdleTimeout = "backend_idle_timeout", Application;
    /// A fault of appproxy itself.
    Internal = "internal", Gateway;
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_reads_back_from_its_word() {
        assert_eq!(ErrorCode::ALL.len(), 29);
        for code in ErrorCode::ALL {
            assert_eq!(ErrorCode::from_word(code.as_str()), Some(*code));
        }
        assert_eq!(ErrorCode::from_word("teapot"), None);
    }
}
