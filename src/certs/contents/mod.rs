//! What a file holds that has to do with certificates, whatever it is called and whatever form it has.

mod keys;
mod lists;
mod pem;
mod pkcs7;
mod secret;
mod sniff;

pub use self::keys::HeldKey;
use self::keys::{key_of, unsupported_key};
pub use self::lists::{LONGEST_LIST, revocation_lists};
use self::pem::Written;
pub use self::sniff::Form;

use std::path::Path;

use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs1KeyDer, PrivateSec1KeyDer};

use x509_parser::asn1_rs::FromDer as _;

use crate::model::{Finding, Place, printable};

/// The longest file that is looked at, in octets: a chain with its key has some kilobytes.
pub const LONGEST_FILE: usize = 1 << 20;

/// How many of a kind a file may have: as many as a PFX may have bags.
const MOST: usize = 1000;

/// What was found in a file.
#[derive(Debug, Default)]
pub struct Contents {
    /// What the file is; `None` where it is nothing of the kind.
    pub form: Option<Form>,
    /// Certificates, in the order of the file.
    pub certificates: Vec<Held>,
    /// Private keys.
    pub keys: Vec<HeldKey>,
    /// Requests for certificates, DER.
    pub requests: Vec<Vec<u8>>,
    /// What else is worth saying of the file, such as how it is encrypted.
    pub facts: Vec<String>,
    /// What is wrong with the file itself, at its place.
    pub findings: Vec<Finding>,
}

/// A certificate of a file.
#[derive(Debug, Clone)]
pub struct Held {
    /// As it is there.
    pub der: CertificateDer<'static>,
    /// What a PFX calls it.
    pub friendly_name: Option<String>,
}

impl Contents {
    /// Whether the only thing in the way is that no password was given.
    #[must_use]
    pub fn needs_password(&self) -> bool {
        self.findings.iter().any(|one| one.code == PASSWORD_NEEDED)
    }

    /// Joins what another file holds, such as the key.
    pub fn join(&mut self, other: Self) {
        self.certificates.extend(other.certificates);
        self.keys.extend(other.keys);
        self.requests.extend(other.requests);
        self.facts.extend(other.facts);
        self.findings.extend(other.findings);
    }
}

const PASSWORD_NEEDED: &str = "password_needed";

/// Reads the contents of the file at `path`, which is for its name alone.
#[must_use]
pub fn read(octets: &[u8], path: &Path, password: Option<&str>) -> Contents {
    let mut reading = Reading {
        path,
        password,
        encrypted: 0,
        out: Contents::default(),
    };
    reading.read(octets);
    let out = &reading.out;
    let most = out.certificates.len().max(out.keys.len());
    let most = most.max(out.requests.len()).max(out.facts.len());
    if most.max(out.findings.len()) > MOST {
        // SECURITY: a MiB can hold half a million of them, and each would have its line in the report.
        let form = out.form;
        reading.out = Contents::default();
        reading.out.form = form;
        reading.find(
            0,
            Finding::error(
                "file_hostile",
                format!(
                    "there are more than {MOST} certificates, keys or other sections in the file"
                ),
                "name a file with the certificate and its chain alone",
            ),
        );
    }
    reading.out
}

struct Reading<'a> {
    path: &'a Path,
    password: Option<&'a str>,
    /// Encrypted keys that were tried.
    encrypted: u32,
    out: Contents,
}

impl Reading<'_> {
    fn read(&mut self, octets: &[u8]) {
        if octets.len() > LONGEST_FILE {
            let what = format!("the file has more than {LONGEST_FILE} octets");
            self.find(
                0,
                Finding::error(
                    "file_too_large",
                    what,
                    "name a file with a certificate or a key",
                ),
            );
            return;
        }
        if octets.trim_ascii().is_empty() {
            self.find(
                0,
                Finding::error(
                    "file_empty",
                    "the file is empty",
                    "name another file, or copy it again",
                ),
            );
            return;
        }
        let (text, written) = pem::plain(octets);
        let form = if contains(&text, b"-----BEGIN") {
            Some(Form::Pem)
        } else {
            sniff::binary(octets)
        };
        let Some(form) = form else {
            self.find(
                0,
                Finding::error(
                    "file_unknown",
                    format!("there is no certificate and no key in it: {}", sniff::stranger(octets)),
                    "name a PFX or PEM file; `openssl` or whoever issued the certificate can make one",
                ),
            );
            return;
        };
        self.out.form = Some(form);
        if let Some(promised) = form.belied_by(self.path) {
            let what = format!(
                "its name says that the file is {promised}, and it is {}",
                form.as_str()
            );
            self.find(
                0,
                Finding::warning(
                    "file_extension",
                    what,
                    "rename it, so that other programs read it too",
                ),
            );
        }
        if let Some(written) = written.filter(|_| form == Form::Pem) {
            self.written(written);
        }
        match form {
            Form::Pem => self.pem(&text),
            _ => self.binary(form, octets, 0),
        }
    }

    fn find(&mut self, line: usize, finding: Finding) {
        let place = Place {
            // SECURITY: whoever made the file may have named it.
            file: printable(&self.path.display().to_string(), 1024).into(),
            line: u64::try_from(line).unwrap_or(0),
            ..Place::default()
        };
        self.out.findings.push(finding.at(place));
    }

    fn written(&mut self, written: Written) {
        let name = sniff::pasted(self.path);
        let (what, remedy) = match written {
            Written::Utf16 => (
                "the file is written in UTF-16, which few programs read (PowerShell's `>` does that)",
                format!("write it anew: `iconv -f UTF-16 -t UTF-8 {name} > NEW`"),
            ),
            Written::Marked => (
                "the file begins with a byte order mark, at which some programs pass over the first certificate",
                format!("take it away: `sed '1s/^\\xef\\xbb\\xbf//' {name} > NEW`"),
            ),
            Written::CarriageReturns => (
                "the lines of the file end as on old Macs, which OpenSSL does not read",
                format!("write it anew: `tr '\\r' '\\n' < {name} > NEW`"),
            ),
            Written::Indented => (
                "the lines of the file are indented, as if copied out of YAML: OpenSSL does not read them",
                format!("take the blanks away: `sed 's/^[[:blank:]]*//' {name} > NEW`"),
            ),
        };
        self.find(0, Finding::warning("file_encoding", what, remedy));
    }

    fn pem(&mut self, text: &[u8]) {
        let (sections, damaged) = pem::sections(text);
        if sections.is_empty() && damaged.is_empty() {
            let what = if contains(text, b"-----\\n") {
                "its line ends are the two characters `\\n`, as in JSON"
            } else {
                "`-----BEGIN` does not begin a line: its line ends are lost"
            };
            let what = format!("there is PEM text in the file, and {what}");
            let remedy =
                "copy it again as text with line ends, for instance with `jq -r` out of JSON";
            self.find(0, Finding::error("pem_damaged", what, remedy));
        }
        for damage in damaged {
            if damage.label.starts_with("PGP ") {
                let what = "it is of PGP, which is something else than a certificate of TLS";
                let remedy = "name a PFX or PEM file with a certificate";
                self.find(damage.line, Finding::error("file_unknown", what, remedy));
                continue;
            }
            let what = match &*damage.label {
                "" => format!("a section is damaged: {}", damage.why),
                label => format!(
                    "the section `{}` is damaged: {}",
                    printable(label, 64),
                    damage.why
                ),
            };
            self.find(
                damage.line,
                Finding::error("pem_damaged", what, "copy the file again, whole"),
            );
        }
        for section in sections {
            self.section(section);
        }
    }

    fn section(&mut self, section: pem::Section) {
        let line = section.line;
        let name = sniff::pasted(self.path);
        match &*section.label {
            "CERTIFICATE" | "X509 CERTIFICATE" => self.certificate(section.der.to_vec(), None),
            "TRUSTED CERTIFICATE" => {
                self.find(
                    line,
                    Finding::error(
                        "certificate_trusted",
                        "the certificate is in OpenSSL's own form (`TRUSTED CERTIFICATE`), which other programs pass over",
                        format!("write it in the usual form: `openssl x509 -in {name} -out NEW`"),
                    ),
                );
                let one = first_value(&section.der).unwrap_or(&section.der);
                self.certificate(one.to_vec(), None);
            }
            _ if section.is_encrypted => self.find(
                line,
                Finding::error(
                    "key_encrypted",
                    "the private key is encrypted in the way of old OpenSSL (`Proc-Type: 4,ENCRYPTED`)",
                    format!("write it without a passphrase, into a file only appproxy can read: `openssl pkey -in {name} -out NEW`"),
                ),
            ),
            "PRIVATE KEY" => self.binary(Form::Key, &section.der, line),
            "ENCRYPTED PRIVATE KEY" => self.binary(Form::EncryptedKey, &section.der, line),
            "RSA PRIVATE KEY" => self.key(PrivatePkcs1KeyDer::from(section.der.to_vec()).into()),
            "EC PRIVATE KEY" => self.key(PrivateSec1KeyDer::from(section.der.to_vec()).into()),
            "DSA PRIVATE KEY" => self.find(line, unsupported_key("a DSA key")),
            "OPENSSH PRIVATE KEY" => self.find(
                line,
                Finding::error(
                    "key_unsupported",
                    "the private key is in the form of OpenSSH, which TLS does not use",
                    format!("write it as PEM, in place: `ssh-keygen -p -m PKCS8 -f {name}`"),
                ),
            ),
            "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => self.out.requests.push(section.der.to_vec()),
            "PKCS7" | "CMS" => self.binary(Form::Pkcs7, &section.der, line),
            "X509 CRL" => self.out.facts.push(lists::FACT.to_owned()),
            "PUBLIC KEY" | "RSA PUBLIC KEY" => self.out.facts.push("a public key alone".to_owned()),
            // They say again what the key says.
            "EC PARAMETERS" | "DH PARAMETERS" => {}
            other => {
                let label = printable(other, 64);
                self.out.facts.push(format!("a section `{label}`, which was passed over"));
            }
        }
    }

    fn binary(&mut self, form: Form, octets: &[u8], line: usize) {
        match form {
            Form::Pfx => self.pfx(octets),
            Form::Pkcs7 => match pkcs7::certificates(octets) {
                Some(all) => all.into_iter().for_each(|der| self.certificate(der, None)),
                None => self.damaged(line, "the PKCS #7 file"),
            },
            Form::Request => self.out.requests.push(octets.to_vec()),
            Form::Key => match key_of(octets) {
                Some(key) => self.key(key),
                None => self.damaged(line, "the private key"),
            },
            Form::EncryptedKey => self.encrypted_key(octets, line),
            // How they begin does not tell one from the other where a certificate is of version 1.
            Form::Certificate | Form::RevocationList => {
                if form == Form::RevocationList
                    && x509_parser::parse_x509_certificate(octets).is_err()
                {
                    self.out.facts.push(lists::FACT.to_owned());
                    return;
                }
                self.out.form = self.out.form.map(|form| match form {
                    Form::RevocationList => Form::Certificate,
                    form => form,
                });
                let one = first_value(octets).unwrap_or(octets);
                if one.len() < octets.len() {
                    let what = format!(
                        "{} octets come after the certificate",
                        octets.len() - one.len()
                    );
                    let remedy = "copy the file again: something was appended to it";
                    self.find(line, Finding::warning("octets_after", what, remedy));
                }
                self.certificate(one.to_vec(), None);
            }
            Form::Pem => {}
        }
    }

    fn damaged(&mut self, line: usize, whose: &str) {
        let what = format!("{whose} is damaged or cut off");
        self.find(
            line,
            Finding::error(
                "der_damaged",
                what,
                "copy the file again, whole, from where it was made",
            ),
        );
    }

    fn certificate(&mut self, der: Vec<u8>, friendly_name: Option<String>) {
        self.out.certificates.push(Held {
            der: CertificateDer::from(der),
            friendly_name,
        });
    }

    fn key(&mut self, der: PrivateKeyDer<'static>) {
        self.out.keys.push(HeldKey {
            der,
            friendly_name: None,
            provider: None,
            is_local_machine: false,
        });
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// The first of several DER values.
fn first_value(octets: &[u8]) -> Option<&[u8]> {
    let (rest, _) = x509_parser::asn1_rs::Any::from_der(octets).ok()?;
    octets.get(..octets.len() - rest.len())
}
