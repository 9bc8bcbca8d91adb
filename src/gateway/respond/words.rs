//! What each code means: its status, and what a visitor is told.

use http::StatusCode;

use super::pages::Word;
use crate::model::{ErrorCode, Side};

/// The status of an answer with this code.
pub(super) const fn status(code: ErrorCode) -> StatusCode {
    use ErrorCode as E;
    match code {
        E::BadRequest => StatusCode::BAD_REQUEST,
        E::SignInRequired | E::TokenRequired => StatusCode::UNAUTHORIZED,
        E::Denied | E::CrossOrigin | E::SignInFailed | E::CertificateRequired => {
            StatusCode::FORBIDDEN
        }
        E::NoRoute => StatusCode::NOT_FOUND,
        E::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
        E::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        E::Misdirected => StatusCode::MISDIRECTED_REQUEST,
        E::Throttled => StatusCode::TOO_MANY_REQUESTS,
        E::TooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        E::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        E::TunnelLost
        | E::TargetRefused
        | E::BackendDns
        | E::BackendRefused
        | E::BackendTlsName
        | E::BackendTlsTrust
        | E::BackendBadResponse => StatusCode::BAD_GATEWAY,
        E::ProviderUnavailable
        | E::Maintenance
        | E::NoConnector
        | E::TunnelBusy
        | E::StoreUnavailable => StatusCode::SERVICE_UNAVAILABLE,
        E::BackendConnectTimeout | E::BackendFirstByteTimeout | E::BackendIdleTimeout => {
            StatusCode::GATEWAY_TIMEOUT
        }
    }
}

/// Seconds after which another attempt makes sense; `None` where waiting is no remedy.
pub(super) const fn retry_after(code: ErrorCode) -> Option<u16> {
    use ErrorCode as E;
    match code {
        // A place frees up as soon as any other request ends.
        E::TunnelBusy => Some(2),
        // A connector is back after its longest back-off, 5 s, and a handshake.
        E::NoConnector | E::StoreUnavailable | E::Throttled => Some(10),
        E::ProviderUnavailable => Some(30),
        E::Maintenance => Some(300),
        _ => None,
    }
}

/// Whose side it is, for people.
pub(super) const fn side(side: Side) -> Word {
    match side {
        Side::Client => Word::SideClient,
        Side::Gateway => Word::SideGateway,
        Side::Provider => Word::SideProvider,
        Side::Connector => Word::SideConnector,
        Side::Application => Word::SideApplication,
    }
}

/// What happened, in one sentence for people. Names no host, no address and no rule.
pub(super) const fn message(code: ErrorCode) -> Word {
    use ErrorCode as E;
    match code {
        E::BadRequest => Word::ErrorBadRequest,
        E::NoRoute => Word::ErrorNoRoute,
        E::Misdirected => Word::ErrorMisdirected,
        E::Denied => Word::ErrorDenied,
        E::CrossOrigin => Word::ErrorCrossOrigin,
        E::SignInRequired => Word::ErrorSignInRequired,
        E::TokenRequired => Word::ErrorTokenRequired,
        E::CertificateRequired => Word::ErrorCertificateRequired,
        E::TooLarge => Word::ErrorTooLarge,
        E::BodyTooLarge => Word::ErrorBodyTooLarge,
        E::RequestTimeout => Word::ErrorRequestTimeout,
        E::Throttled => Word::ErrorThrottled,
        E::SignInFailed => Word::ErrorSignInFailed,
        E::ProviderUnavailable => Word::ErrorProviderUnavailable,
        E::Maintenance => Word::ErrorMaintenance,
        E::NoConnector => Word::ErrorNoConnector,
        E::TunnelBusy => Word::ErrorTunnelBusy,
        E::StoreUnavailable => Word::ErrorStoreUnavailable,
        E::TunnelLost => Word::ErrorTunnelLost,
        E::TargetRefused => Word::ErrorTargetRefused,
        E::BackendDns => Word::ErrorBackendDns,
        E::BackendRefused => Word::ErrorBackendRefused,
        E::BackendTlsName => Word::ErrorBackendTlsName,
        E::BackendTlsTrust => Word::ErrorBackendTlsTrust,
        E::BackendBadResponse => Word::ErrorBackendBadResponse,
        E::BackendConnectTimeout => Word::ErrorBackendConnectTimeout,
        E::BackendFirstByteTimeout => Word::ErrorBackendFirstByteTimeout,
        E::BackendIdleTimeout => Word::ErrorBackendIdleTimeout,
        E::Internal => Word::ErrorInternal,
    }
}

/// What the visitor can do, in one or two sentences.
pub(super) const fn remedy(code: ErrorCode) -> Word {
    use ErrorCode as E;
    match code {
        E::BadRequest => Word::RemedyGoBack,
        E::NoRoute => Word::RemedyCheckAddress,
        E::Misdirected => Word::RemedyNewTab,
        E::Denied => Word::RemedyAskAccess,
        E::CrossOrigin => Word::RemedyStartThere,
        E::SignInRequired => Word::RemedyOwnWindow,
        E::TokenRequired => Word::RemedyToken,
        E::CertificateRequired => Word::RemedyCertificate,
        E::TooLarge => Word::RemedyDeleteCookies,
        E::BodyTooLarge => Word::RemedySendLess,
        E::RequestTimeout => Word::RemedyCheckConnection,
        E::Throttled | E::TunnelBusy => Word::RemedyWaitMoment,
        E::SignInFailed => Word::RemedyOnceMore,
        E::Maintenance => Word::RemedyLater,
        E::ProviderUnavailable | E::NoConnector | E::StoreUnavailable => Word::RemedyMinutesSite,
        // The request may have been carried out, so a form is not simply sent again.
        E::TunnelLost | E::BackendFirstByteTimeout | E::BackendIdleTimeout => Word::RemedyCheckForm,
        E::BackendRefused | E::BackendConnectTimeout => Word::RemedyMinutesApplication,
        E::TargetRefused
        | E::BackendDns
        | E::BackendTlsName
        | E::BackendTlsTrust
        | E::BackendBadResponse
        | E::Internal => Word::RemedyNoUse,
    }
}
