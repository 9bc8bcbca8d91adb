//! What each code means: its status, and what a visitor is told.

use http::StatusCode;

use crate::model::{ErrorCode, Side};

/// The status of an answer with this code.
pub(super) const fn status(code: ErrorCode) -> StatusCode {
    use ErrorCode as E;
    match code {
        E::BadRequest => StatusCode::BAD_REQUEST,
        E::SignInRequired => StatusCode::UNAUTHORIZED,
        E::Denied | E::CrossOrigin | E::SignInFailed => StatusCode::FORBIDDEN,
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
pub(super) const fn side(side: Side) -> &'static str {
    match side {
        Side::Client => "Your request",
        Side::Gateway => "This site",
        Side::Provider => "The sign-in service",
        Side::Connector => "The connection to the application’s network",
        Side::Application => "The application",
    }
}

/// What happened, in one sentence for people. Names no host, no address and no rule.
pub(super) const fn message(code: ErrorCode) -> &'static str {
    use ErrorCode as E;
    match code {
        E::BadRequest => "This request could not be understood.",
        E::NoRoute => "There is nothing at this address.",
        E::Misdirected => "This request came over a connection for another site.",
        E::Denied => "You do not have access to this page.",
        E::CrossOrigin => "This request came from another site.",
        E::SignInRequired => "You need to sign in.",
        E::TooLarge => "This request carries too many or too large header fields.",
        E::BodyTooLarge => "What you sent is too large.",
        E::RequestTimeout => "Your request took too long to arrive.",
        E::Throttled => "There have been too many requests.",
        E::SignInFailed => "Signing in did not work.",
        E::ProviderUnavailable => "The sign-in service does not answer.",
        E::Maintenance => "This application is closed for maintenance.",
        E::NoConnector => "This application cannot be reached at the moment.",
        E::TunnelBusy => "Too many people are using this application at the moment.",
        E::StoreUnavailable => "This site cannot check your access at the moment.",
        E::TunnelLost => "The connection to this application was interrupted.",
        E::TargetRefused => "This application may not be reached.",
        E::BackendDns => "This application could not be found in its network.",
        E::BackendRefused => "This application is not running.",
        E::BackendTlsName => "This application identified itself as another one.",
        E::BackendTlsTrust => "This application could not be reached securely.",
        E::BackendBadResponse => "This application sent an answer that cannot be understood.",
        E::BackendConnectTimeout => "This application did not answer the call.",
        E::BackendFirstByteTimeout => "This application took too long to answer.",
        E::BackendIdleTimeout => "This application stopped in the middle of its answer.",
        E::Internal => "Something went wrong on this site.",
    }
}

/// What the visitor can do, in one or two sentences.
pub(super) const fn remedy(code: ErrorCode) -> &'static str {
    use ErrorCode as E;
    match code {
        E::BadRequest => "Go back and try again, or type the address anew.",
        E::NoRoute => "Check the address for typing errors.",
        E::Misdirected => "Close this tab and open the page in a new one.",
        E::Denied => {
            "If you need access, ask the people who run this site, and give them the reference below."
        }
        E::CrossOrigin => "Open the application itself and start from there.",
        E::SignInRequired => "Open this page in a browser window of its own and sign in.",
        E::TooLarge => "Delete the cookies of this site in your browser and try again.",
        E::BodyTooLarge => "Send a smaller file, or several.",
        E::RequestTimeout => "Check your connection and try again.",
        E::Throttled | E::TunnelBusy => "Wait a moment and try again.",
        E::SignInFailed => {
            "Try once more. If it fails again, give the reference below to the people who run this site."
        }
        E::Maintenance => "Come back later.",
        E::ProviderUnavailable | E::NoConnector | E::StoreUnavailable => {
            "Try again in a few minutes. If it stays so, give the reference below to the people who run this site."
        }
        // The request may have been carried out, so a form is not simply sent again.
        E::TunnelLost | E::BackendFirstByteTimeout | E::BackendIdleTimeout => {
            "Load the page again. If you sent a form, check first whether it arrived."
        }
        E::BackendRefused | E::BackendConnectTimeout => {
            "Try again in a few minutes. If it stays so, tell the people who run this application, and give them the reference below."
        }
        E::TargetRefused
        | E::BackendDns
        | E::BackendTlsName
        | E::BackendTlsTrust
        | E::BackendBadResponse
        | E::Internal => {
            "Trying again will probably not help. Give the reference below to the people who run this site."
        }
    }
}
