//! What the demo writes: certificates of a throw-away authority and two configurations.

use std::net::SocketAddr;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
};
use rustls::pki_types::CertificateDer;

use super::DemoError;
use super::folder::Folder;
use super::provider::CLIENT_ID;
use super::stage::{HOST, INTERNAL, LOGIN, STAFF, TUNNELS};

/// A throw-away authority and a certificate for the demo's name, as PEM files.
pub(super) fn write_certificates(folder: &Folder) -> Result<CertificateDer<'static>, DemoError> {
    let authority_key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    // The default has a name of its own, which browsers would take for a self-signed leaf's.
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, "appproxy demo, throw away");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let authority = params.self_signed(&authority_key)?;
    let issuer = Issuer::new(params, authority_key);
    let key = KeyPair::generate()?;
    let names = [HOST, STAFF, LOGIN].map(str::to_owned);
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, HOST);
    let leaf = params.signed_by(&key, &issuer)?;
    folder.write("ca.pem", &authority.pem())?;
    folder.write("demo.pem", &leaf.pem())?;
    folder.write("demo.key", &key.serialize_pem())?;
    Ok(authority.der().clone())
}

pub(super) fn gateway_yaml(
    folder: &Path,
    address: SocketAddr,
    application: SocketAddr,
    issuer: &str,
) -> String {
    let path = |name| folder.join(name).display().to_string();
    format!(
        "version: 1
kind: gateway
listen:
  https: [\"{address}\"]
  public: [\"{address}\"]
store: {store}
certificates:
  - chain: {chain}
    key: {key}
sign_in:
  url: https://{LOGIN}:{port}/
identity_providers:
  - name: demo
    issuer: {issuer}
    client_id: {CLIENT_ID}
applications:
  - name: demo
    external_url: https://{HOST}:{port}/
    internal_url: http://{INTERNAL}:{internal}/
    pre_authentication: [passthrough]
    timeouts: {{ first_byte: 3s }}
    link_translation: {{ body: [html, css] }}
  - name: staff
    description: The same application, for the group staff
    external_url: https://{STAFF}:{port}/
    internal_url: http://{INTERNAL}:{internal}/
    pre_authentication: [oidc]
    access: {{ allow: [ {{ group: staff }} ] }}
    link_translation: {{ body: [html, css] }}
",
        issuer = quoted(issuer.to_owned()),
        store = quoted(format!("sqlite:{}", path("gateway.db"))),
        chain = quoted(path("demo.pem")),
        key = quoted(path("demo.key")),
        port = address.port(),
        internal = application.port(),
    )
}

pub(super) fn connector_yaml(
    folder: &Path,
    address: SocketAddr,
    application: SocketAddr,
) -> String {
    format!(
        "version: 1
kind: connector
gateways: [\"{address}\"]
state: {state}
allow: [\"{INTERNAL}:{internal}\"]
connections: {TUNNELS}
dns:
  hosts: {{ {INTERNAL}: [{ip}] }}
",
        state = quoted(folder.join("connector").display().to_string()),
        internal = application.port(),
        ip = application.ip(),
    )
}

/// A text in quotes: those of JSON are those of YAML.
fn quoted(text: String) -> String {
    serde_json::Value::from(text).to_string()
}
