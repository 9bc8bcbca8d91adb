//! `BLESS=1 cargo nextest run init::tests` writes the golden texts anew; read the difference.

use std::fs;
use std::io::Cursor;
use std::os::unix::fs::PermissionsExt as _;

use clap::Parser as _;
use proptest::prelude::*;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::answers::{Allowed, CertificateFile, Make, Provider};
use super::*;
use crate::clock::Timestamp;
use crate::config::{ClientAuthentication, SecretSource};
use crate::model::{Condition, Endpoint, Host, InternalUrl, Preset};

const GOLDEN: &str = "testdata/init";
const TENANT: &str = "8d1f0c3a-5b0e-4a51-9a55-0f6c1c1f2a3b";

#[derive(Debug, clap::Parser)]
struct Line {
    #[command(flatten)]
    init: Init,
}

fn parse(words: &[&str]) -> Init {
    let words = ["init"].iter().chain(words);
    Line::try_parse_from(words).unwrap().init
}

/// What is said, and how it ended.
fn run(words: &[&str], typed: &str) -> (String, Result<(), String>) {
    let mut output = Vec::new();
    let clock = Clock::manual(Timestamp(1_790_000_000));
    let hush = || Ok(Box::new(()) as Box<dyn Any>);
    let ended = parse(words).run(&mut Cursor::new(typed), &mut output, &hush, &clock);
    let ended = ended.map_err(|exit| match exit {
        Exit::Refused(what) => format!("64 {what}"),
        Exit::Findings(found) => format!("64 {found:?}"),
        Exit::Failed(what) => format!("1 {what}"),
        other => format!("{other:?}"),
    });
    (String::from_utf8(output).unwrap(), ended)
}

fn sample() -> Answers {
    Answers {
        file: GATEWAY_FILE.into(),
        domain: Host::parse("example.com").unwrap(),
        public: Endpoint::parse("gw.example.com:443").unwrap(),
        certificate: Certificate::Pfx {
            file: "/etc/appproxy/example.pfx".into(),
            password: Some("/etc/appproxy/certificate.password".into()),
        },
        provider: Provider {
            preset: Some(Preset::Entra),
            issuer: format!("https://login.microsoftonline.com/{TENANT}/v2.0"),
            client_id: "0d0e1f2a-0000-4000-8000-000000000000".to_owned(),
        },
        client_secret: "/etc/appproxy/oidc.secret".into(),
        sign_in: Host::parse("login.example.com").unwrap(),
        allow: vec![Allowed::Group("staff".to_owned())],
        application: answers::application("wiki").unwrap(),
        internal: InternalUrl::parse("http://wiki.corp.local:8080/").unwrap(),
        external: Host::parse("wiki.example.com").unwrap(),
    }
}

fn pem() -> Certificate {
    Certificate::Pem {
        chain: "/etc/appproxy/example.pem".into(),
        key: "/etc/appproxy/example.key".into(),
    }
}

fn trial() -> Certificate {
    Certificate::Trial {
        chain: "/etc/appproxy/example.com.pem".into(),
        key: "/etc/appproxy/example.com.key".into(),
    }
}

fn provider(preset: Option<Preset>) -> Provider {
    let issuer = match preset {
        Some(Preset::Entra) => return sample().provider,
        Some(Preset::Google) => answers::GOOGLE,
        Some(Preset::Okta) => "https://example.okta.com",
        Some(Preset::Keycloak) => "https://sso.example.com/realms/staff",
        None => "https://sso.example.com/",
    };
    Provider {
        preset,
        issuer: issuer.to_owned(),
        client_id: "appproxy".to_owned(),
    }
}

fn emails() -> Vec<Allowed> {
    ["alice@example.com", "bob@example.com"]
        .map(|a| Allowed::Email(a.to_owned()))
        .into()
}

fn load(answers: &Answers) -> GatewayConfig {
    let text = text::text(answers);
    GatewayConfig::from_text(&answers.file, &text).unwrap_or_else(|f| panic!("{text}\n{f:?}"))
}

#[test]
fn every_combination_is_read_without_a_finding_and_short() {
    let presets = Preset::ALL.map(Some).into_iter().chain([None]);
    let bare = Certificate::Pfx {
        file: "/etc/a.pfx".into(),
        password: None,
    };
    let certificates = [sample().certificate, bare, pem(), trial()];
    let allows = [vec![Allowed::Everybody], sample().allow, emails()];
    let mut count = 0;
    for preset in presets {
        for certificate in &certificates {
            for allow in &allows {
                for (public, file) in [
                    ("gw.example.com:443", GATEWAY_FILE),
                    ("[::1]:8443", "/tmp/g.yaml"),
                ] {
                    let answers = Answers {
                        file: file.into(),
                        public: Endpoint::parse(public).unwrap(),
                        provider: provider(preset),
                        certificate: certificate.clone(),
                        allow: allow.clone(),
                        ..sample()
                    };
                    let config = load(&answers);
                    let lines = text::text(&answers).lines().count();
                    assert!(lines <= text::MOST_LINES, "{lines}");
                    assert_eq!(config.sign_in.unwrap().port, answers.public.port);
                    assert_eq!(config.listen.public, std::slice::from_ref(&answers.public));
                    count += 1;
                }
            }
        }
    }
    assert_eq!(count, 120);
}

#[test]
fn what_is_written_is_what_was_read_before() {
    let cases = [
        ("entra-pfx-group", sample()),
        (
            "google-pem-email",
            Answers {
                provider: provider(Some(Preset::Google)),
                certificate: pem(),
                allow: emails(),
                ..sample()
            },
        ),
        (
            "keycloak-trial-group",
            Answers {
                provider: provider(Some(Preset::Keycloak)),
                certificate: trial(),
                ..sample()
            },
        ),
        (
            "other-pem-everybody-port",
            Answers {
                file: "/srv/my gateway/gateway.yaml".into(),
                client_secret: "/srv/my gateway/oidc.secret".into(),
                public: Endpoint::parse("gw.example.com:8443").unwrap(),
                provider: provider(None),
                certificate: pem(),
                allow: vec![Allowed::Everybody],
                ..sample()
            },
        ),
    ];
    for (index, (name, answers)) in cases.into_iter().enumerate() {
        let situation = Situation {
            service: index % 2 == 0,
            written: vec![answers.file.clone()],
            has_secret: index % 2 == 1,
        };
        load(&answers);
        for (end, text) in [
            ("yaml", text::text(&answers)),
            ("txt", next::next(&answers, &situation)),
        ] {
            let path = format!("{GOLDEN}/{name}.{end}");
            if std::env::var_os("BLESS").is_some() {
                fs::write(&path, &text).unwrap();
            }
            assert_eq!(
                fs::read_to_string(&path).unwrap_or_default(),
                text,
                "{path}"
            );
        }
    }
}

proptest! {
    #[test]
    fn whatever_is_answered_comes_back(
        path in "/[^\\p{Cc}\u{0}]{1,40}",
        wild in "\\PC{1,40}",
        group in any::<String>().prop_filter("never empty", |text| !text.is_empty()),
        client in "[!-~]{1,60}",
    ) {
        // Refused in whatever stands in the file, with words of its own.
        prop_assume!(![&path, &wild, &group, &client].iter().any(|text| text.contains("${")));
        let group = format!("{group}{wild}");
        prop_assume!(!group.contains("${"));
        let answers = Answers {
            certificate: Certificate::Pem { chain: path.clone().into(), key: wild.clone().into() },
            client_secret: path.clone().into(),
            provider: Provider { client_id: client.clone(), ..provider(None) },
            allow: vec![Allowed::Group(group.clone()), Allowed::Email("a\"}]#@x: y".into())],
            ..sample()
        };
        let config = load(&answers);
        prop_assert_eq!(&*config.certificates[0].chain, Path::new(&path));
        prop_assert_eq!(&config.certificates[0].key, &Path::new(CONFIG_FOLDER).join(&wild));
        let provider = &config.identity_providers[0];
        prop_assert_eq!(&*provider.client_id, &*client);
        let ClientAuthentication::Secrets(secrets) = &provider.authentication else { panic!() };
        prop_assert_eq!(&secrets[0].source, &SecretSource::File(path.into()));
        let text = text::text(&answers);
        prop_assert!(text.is_ascii() || text.chars().all(|c| c.is_ascii() || c.is_alphanumeric()));
        prop_assert_eq!(text.lines().count(), text::text(&Answers { certificate: pem(), provider: super::tests::provider(None), ..sample() }).lines().count());
        let access = &config.applications[0].guard.access;
        let conditions: Vec<_> = access.allow.iter().map(|rule| &rule.condition).collect();
        prop_assert_eq!(conditions.len(), 2);
        let Condition::Group(read) = conditions[0] else { panic!("{:?}", conditions[0]) };
        prop_assert_eq!(&**read, &*group);
    }
}

#[test]
fn good_answers() {
    assert_eq!(
        answers::domain("Example.COM.").unwrap().to_string(),
        "example.com"
    );
    assert_eq!(
        answers::domain("bücher.example").unwrap().to_string(),
        "xn--bcher-kva.example"
    );
    assert_eq!(
        answers::endpoint("192.0.2.7:8443").unwrap().to_string(),
        "192.0.2.7:8443"
    );
    for (written, read) in [
        (
            "http://wiki.corp.local:8080",
            "http://wiki.corp.local:8080/",
        ),
        ("https://10.0.0.7/app", "https://10.0.0.7/app/"),
    ] {
        assert_eq!(answers::internal(written).unwrap().to_string(), read);
    }
    assert_eq!(answers::provider("Entra"), Ok(Make::Entra));
    assert_eq!(
        answers::provider("https://sso.example.com/"),
        Ok(Make::Other("https://sso.example.com/".into()))
    );
    assert_eq!(
        answers::tenant(&TENANT.to_uppercase()).unwrap(),
        sample().provider.issuer
    );
    assert_eq!(
        answers::allowed("everybody", None),
        Ok(vec![Allowed::Everybody])
    );
    let group = "group:cn=staff,ou=groups";
    assert_eq!(
        answers::allowed(group, None),
        Ok(vec![Allowed::Group("cn=staff,ou=groups".into())])
    );
    let addresses = "email:alice@example.com, bob@example.com";
    assert_eq!(answers::allowed(addresses, None), Ok(emails()));
}

#[test]
fn bad_answers_are_refused_with_the_reason() {
    let google = Some(Preset::Google);
    let all = [
        (
            answers::domain("https://example.com/").err(),
            "write the domain alone",
        ),
        (
            answers::domain("*.example.com").err(),
            "write the domain alone",
        ),
        (answers::domain("192.0.2.7").err(), "is an address"),
        (answers::domain("a b").err(), "not a host"),
        (
            answers::domain("a\u{1b}[31m").err(),
            "`a[31m` is not a host",
        ),
        (answers::endpoint("gw.example.com").err(), "port is missing"),
        (
            answers::internal("wiki.corp.local").err(),
            "must begin with https:// or http://",
        ),
        (
            answers::internal("http://*.corp.local/").err(),
            "without `*`",
        ),
        (answers::internal("http://u:p@wiki/").err(), "user name"),
        (answers::application("My Wiki").err(), "cannot stand here"),
        (
            answers::named_application("wiki").err(),
            "write name and internal URL",
        ),
        (answers::provider("entar").err(), "none of entra, google"),
        (answers::provider("ftp://x/").err(), "https://"),
        (
            answers::issuer("https://sso.example.com/.well-known/openid-configuration").err(),
            "leave out",
        ),
        (answers::issuer("http://sso.example.com/").err(), "https://"),
        (
            answers::tenant("contoso.onmicrosoft.com").err(),
            "write the id and not the domain",
        ),
        (
            answers::tenant("x\"], client_id: y").err(),
            "no tenant's id",
        ),
        (answers::client_id("two words").err(), "no client id"),
        (answers::client_id("").err(), "no value"),
        (answers::allowed("staff", None).err(), "none of `everybody`"),
        (answers::allowed("group:", None).err(), "no value"),
        (
            answers::allowed("group:staff", google).err(),
            "Google tells nobody's groups",
        ),
        (
            answers::allowed("email:alice", None).err(),
            "no e-mail address",
        ),
        (
            answers::external("login.example.com", &sample().sign_in).err(),
            "where people sign in",
        ),
        (answers::path("/a\nb").err(), "control character"),
        (answers::path("").err(), "no value"),
        (answers::path("/a${b}").err(), "nothing is substituted"),
        (
            answers::certificate("/nowhere/x.pem").err(),
            "cannot read /nowhere/x.pem",
        ),
        (answers::certificate("/").err(), "is no file"),
        (
            answers::certificate("/proc/self/status").err(),
            "neither PEM nor PFX",
        ),
        (answers::secret("a b").err(), "no blanks"),
    ];
    for (index, (why, part)) in all.into_iter().enumerate() {
        let why = why.unwrap_or_else(|| panic!("{index}: {part} is taken"));
        assert!(why.contains(part), "{index}: {why}");
    }
}

/// The flags that need no question, for a configuration in this folder.
fn flags(folder: &Path) -> Vec<String> {
    let file = folder.join("gateway.yaml").display().to_string();
    [
        "--yes",
        "--domain",
        "example.com",
        "--self-signed",
        "--issuer",
        "https://sso.example.com/",
        "--client-id",
        "appproxy",
        "--allow",
        "group:staff",
        "--app",
        "wiki=http://wiki.corp.local:8080/",
        "--config",
        &file,
    ]
    .map(str::to_owned)
    .into()
}

fn run_flags(flags: &[String], typed: &str) -> (String, Result<(), String>) {
    run(&flags.iter().map(String::as_str).collect::<Vec<_>>(), typed)
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn flags_alone_write_a_configuration_and_a_certificate_to_try_with() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("new");
    let (said, ended) = run_flags(&flags(&at), "");
    assert_eq!(ended, Ok(()), "{said}");
    assert_eq!(
        names(&at),
        ["example.com.key", "example.com.pem", "gateway.yaml"]
    );
    let mode = |name: &str| fs::metadata(at.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(
        (mode("gateway.yaml"), mode("example.com.key")),
        (0o640, 0o600)
    );
    GatewayConfig::load(&at.join("gateway.yaml")).unwrap();
    for part in [
        "login.example.com/.appproxy/callback",
        "self-signed",
        "install -m 600 /dev/stdin",
        "allow: [\"wiki.corp.local:8080\"]",
        "*.example.com",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let pem = fs::read(at.join("example.com.pem")).unwrap();
    let (_, pem) = x509_parser::pem::parse_x509_pem(&pem).unwrap();
    let (_, leaf) = X509Certificate::from_der(&pem.contents).unwrap();
    assert!(!leaf.basic_constraints().unwrap().unwrap().value.ca);
    assert!(leaf.key_usage().unwrap().unwrap().value.digital_signature());
    let usage = leaf.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.server_auth && !usage.client_auth);
    let days = (leaf.validity().not_after.timestamp() - 1_790_000_000) / 86_400;
    assert_eq!(days, 90);
    let names = leaf
        .subject_alternative_name()
        .unwrap()
        .unwrap()
        .value
        .general_names
        .len();
    assert_eq!(names, 2);
    // Again: nothing is replaced unasked.
    let before = fs::read(at.join("example.com.key")).unwrap();
    let (_, again) = run_flags(&flags(&at), "");
    assert!(
        again.unwrap_err().starts_with("64 appproxy: "),
        "it is there"
    );
    assert_eq!(fs::read(at.join("example.com.key")).unwrap(), before);
    let mut force = flags(&at);
    force.push("--force".to_owned());
    assert_eq!(run_flags(&force, "").1, Ok(()));
    assert_ne!(fs::read(at.join("example.com.key")).unwrap(), before);
}

#[test]
fn without_questions_everything_missing_is_named_at_once() {
    let (said, ended) = run(
        &["--yes", "--config", "/nowhere/x.yaml", "--provider", "okta"],
        "",
    );
    assert_eq!(said, "");
    assert_eq!(
        ended.unwrap_err(),
        "64 appproxy: --yes asks nothing, and this is missing: --domain DOMAIN; --certificate FILE or \
         --self-signed; --issuer URL; --client-id ID; --allow WHO; --app NAME=URL"
    );
}

const TYPED: [&str; 14] = [
    "example.com",
    "",
    "",
    "keycloak",
    "https://sso.example.com/realms/staff",
    "appproxy",
    "",
    "s3cret~value",
    "",
    "group:staff",
    "wiki",
    "http://wiki.corp.local:8080",
    "",
    "",
];

#[test]
fn questions_are_answered_by_hand() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.yaml");
    let words = ["--config", file.to_str().unwrap()];
    // A wrong answer is asked for again.
    let typed = format!("https://example.com/\n{}\n", TYPED.join("\n"));
    let (said, ended) = run(&words, &typed);
    assert_eq!(ended, Ok(()), "{said}");
    assert!(
        said.contains("write the domain alone") && said.contains("[gw.example.com:443]"),
        "{said}"
    );
    assert!(!said.contains("s3cret"), "{said}");
    let text = fs::read_to_string(&file).unwrap();
    assert!(!text.contains("s3cret"));
    let secret = folder.path().join("oidc.secret");
    assert_eq!(fs::read_to_string(&secret).unwrap(), "s3cret~value\n");
    assert_eq!(
        fs::metadata(&secret).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert!(!said.contains("/dev/stdin"), "{said}");
}

#[test]
fn an_end_in_the_middle_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("new/gateway.yaml");
    let words = ["--config", file.to_str().unwrap()];
    for count in 0..TYPED.len() - 1 {
        let typed: String = TYPED[..count]
            .iter()
            .map(|line| format!("{line}\n"))
            .collect();
        let (_, ended) = run(&words, &typed);
        let why = ended.unwrap_err();
        assert!(
            why.starts_with("64 appproxy: the input ended before an answer to: "),
            "{why}"
        );
        assert!(names(folder.path()).is_empty());
    }
    let (_, ended) = run(&words, "a b\n\n*\nexample.com\n");
    let why = ended.unwrap_err();
    assert!(
        why.starts_with("64 appproxy: no usable answer in 3 tries to: Domain"),
        "{why}"
    );
    let (_, ended) = run(&["--config", file.to_str().unwrap(), "--domain", "a b"], "");
    assert!(
        ended
            .unwrap_err()
            .starts_with("64 appproxy: --domain: `a b` is not a host")
    );
    assert!(names(folder.path()).is_empty());
}

#[test]
fn what_cannot_be_written_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    // Also for root: a file stands where a folder belongs.
    fs::write(folder.path().join("file"), "").unwrap();
    let (_, ended) = run_flags(&flags(&folder.path().join("file")), "");
    let why = ended.unwrap_err();
    assert!(
        why.starts_with("1 cannot ") && why.ends_with("Nothing was changed"),
        "{why}"
    );
    // The secret's folder cannot be made, after the other files are on the disk.
    let at = folder.path().join("deep/er");
    let secret = folder.path().join("file/x/oidc.secret");
    let files = [at.join("gateway.yaml"), secret].map(|path| NewFile {
        path,
        content: Zeroizing::new("x".to_owned()),
        is_secret: false,
    });
    let why = files::write(&files, false).unwrap_err();
    assert!(why.contains("file/x"), "{why}");
    assert_eq!(names(folder.path()), ["file"]);
    // One name for two files.
    let (_, ended) = run_flags(&[flags(&at), vec!["--force".to_owned()]].concat(), "");
    assert_eq!(ended, Ok(()));
    let same = [at.join("x"), at.join("x")].map(|path| NewFile {
        path,
        content: Zeroizing::new("x".to_owned()),
        is_secret: false,
    });
    assert!(
        files::write(&same, true)
            .unwrap_err()
            .contains("two files at once")
    );
    assert!(!at.join("x").exists());
    fs::remove_dir_all(folder.path().join("deep")).unwrap();
    if !rustix::process::geteuid().is_root() {
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o500)).unwrap();
        let (_, ended) = run_flags(&flags(folder.path()), "");
        assert!(ended.unwrap_err().contains("run it as root"));
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    }
}

#[test]
fn certificates_are_known_by_what_is_in_them() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    fs::write(
        at("both"),
        "-----BEGIN CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\n",
    )
    .unwrap();
    fs::write(at("tls.pem"), "-----BEGIN CERTIFICATE-----\n").unwrap();
    fs::write(at("tls.key"), "-----BEGIN PRIVATE KEY-----\n").unwrap();
    fs::write(at("pfx"), [0x30, 0x82, 1, 0, 2, 1, 3, 0x30]).unwrap();
    let of = |name: &str| answers::certificate(&at(name)).map(|(_, kind)| kind);
    assert_eq!(of("both"), Ok(CertificateFile::Pem { has_key: true }));
    assert_eq!(of("tls.pem"), Ok(CertificateFile::Pem { has_key: false }));
    assert_eq!(of("pfx"), Ok(CertificateFile::Pfx));
    assert!(
        of("tls.key")
            .unwrap_err()
            .contains("has no certificate in it")
    );
    let config = at("out/gateway.yaml");
    let with = |more: &[String]| {
        let mut all = flags(&folder.path().join("out"));
        all.retain(|flag| flag != "--self-signed");
        all.extend_from_slice(more);
        all.push("--force".to_owned());
        let (_, ended) = run_flags(&all, "");
        ended.map(|()| fs::read_to_string(&config).unwrap())
    };
    let text = with(&["--certificate".into(), at("tls.pem")]).unwrap();
    assert!(text.contains("tls.key\""), "the key beside it");
    let text = with(&[
        "--certificate".into(),
        at("pfx"),
        "--password-file".into(),
        at("both"),
    ])
    .unwrap();
    assert!(text.contains("password: { file:"));
    let why = with(&[
        "--certificate".into(),
        at("pfx"),
        "--key".into(),
        at("tls.key"),
    ])
    .unwrap_err();
    assert!(why.contains("--key is for PEM"), "{why}");
}

#[test]
fn the_redirect_address_is_that_of_the_sign_in() {
    assert_eq!(
        callback(&sample()),
        "https://login.example.com/.appproxy/callback"
    );
}
