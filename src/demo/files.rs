//! What the demo writes: certificates of a throw-away authority and two configurations, in a folder
//! that goes with it.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
};
use rustls::pki_types::CertificateDer;

use super::DemoError;
use super::stage::{HOST, INTERNAL, TUNNELS};
use crate::certs;

/// A folder of our own that goes with us.
pub(super) struct Folder(pub(super) PathBuf);

impl Folder {
    pub(super) fn new() -> Result<Self, DemoError> {
        let mut name = String::from("appproxy-demo-");
        for octet in certs::random::<6>()? {
            let _ = write!(name, "{octet:02x}");
        }
        let path = std::env::temp_dir().join(name);
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    pub(super) fn write(&self, name: &str, text: &str) -> io::Result<()> {
        let mut options = fs::OpenOptions::new();
        let file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(self.0.join(name));
        file?.write_all(text.as_bytes())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

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
    let mut params = CertificateParams::new(vec![HOST.to_owned()])?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, HOST);
    let leaf = params.signed_by(&key, &issuer)?;
    folder.write("ca.pem", &authority.pem())?;
    folder.write("demo.pem", &leaf.pem())?;
    folder.write("demo.key", &key.serialize_pem())?;
    Ok(authority.der().clone())
}

pub(super) fn gateway_yaml(folder: &Path, address: SocketAddr, application: SocketAddr) -> String {
    let folder = folder.display();
    format!(
        "version: 1
kind: gateway
listen:
  https: [\"{address}\"]
  public: [\"{address}\"]
store: \"sqlite:{folder}/gateway.db\"
certificates:
  - chain: \"{folder}/demo.pem\"
    key: \"{folder}/demo.key\"
applications:
  - name: demo
    external_url: https://{HOST}:{port}/
    internal_url: http://{INTERNAL}:{internal}/
    pre_authentication: [passthrough]
    timeouts: {{ first_byte: 3s }}
",
        port = address.port(),
        internal = application.port(),
    )
}

pub(super) fn connector_yaml(
    folder: &Path,
    address: SocketAddr,
    application: SocketAddr,
) -> String {
    let folder = folder.display();
    format!(
        "version: 1
kind: connector
gateways: [\"{address}\"]
state: \"{folder}/connector\"
allow: [\"{INTERNAL}:{internal}\"]
connections: {TUNNELS}
dns:
  hosts: {{ {INTERNAL}: [{ip}] }}
",
        internal = application.port(),
        ip = application.ip(),
    )
}
