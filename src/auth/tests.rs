//! What opens, and that nothing else does.

use std::net::Ipv4Addr;

use crate::model::{
    ApplicationName, BackendTimeouts, Connectors, ExternalUrl, GroupName, HostHeader, InternalUrl,
    LinkTranslation,
};

use super::*;

fn application(pre_authentication: Vec<PreAuthentication>) -> Arc<Application> {
    Arc::new(Application {
        name: ApplicationName::new("wiki").unwrap(),
        external: ExternalUrl::parse("https://wiki.example.com/").unwrap(),
        internal: InternalUrl::parse("http://wiki.corp.local:8888/").unwrap(),
        connectors: Connectors::new(vec![GroupName::new("hq").unwrap()]).unwrap(),
        pre_authentication,
        host_header: HostHeader::Internal,
        link_translation: LinkTranslation { headers: true },
        timeouts: BackendTimeouts::default(),
    })
}

const FACTS: Facts<'static> = Facts {
    client: IpAddr::V4(Ipv4Addr::LOCALHOST),
    method: &Method::POST,
    path: "/page",
};

#[test]
fn passthrough_lets_anybody_through_to_that_application() {
    let wiki = application(vec![PreAuthentication::Passthrough]);
    let identity = authenticate(&wiki, &FACTS).unwrap();
    assert_eq!(identity, Identity::Anonymous);
    let permit = authorise(&identity, &wiki, &FACTS).unwrap();
    assert!(Arc::ptr_eq(permit.application(), &wiki));
    assert_eq!(permit.rule().to_string(), "passthrough");
}

#[test]
fn whatever_is_not_passthrough_alone_is_denied_by_both_stages() {
    let methods = PreAuthentication::Passthrough;
    for odd in [vec![], vec![methods, methods], vec![methods; 3]] {
        let odd = application(odd);
        let challenge = authenticate(&odd, &FACTS).unwrap_err();
        assert_eq!(challenge.code(), ErrorCode::Denied);
        // Even if the first stage had let it pass.
        let denied = authorise(&Identity::Anonymous, &odd, &FACTS).unwrap_err();
        assert_eq!(denied.code(), ErrorCode::Denied);
    }
}
