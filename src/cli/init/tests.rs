//! `BLESS=1 cargo nextest run init::tests` writes the golden texts anew; read the difference.

use std::fs;
use std::io::Cursor;
use std::os::unix::fs::PermissionsExt as _;

use clap::Parser as _;
use proptest::prelude::*;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::answers::{Allowed, Guard, Make, Provider};
use super::leaf::CertificateFile;
use super::*;
use crate::clock::Timestamp;
use crate::config::{ClientAuthentication, SecretSource};
use crate::model::{Condition, Endpoint, Host, HostPattern, InternalUrl, Preset};

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
        guard: Guard::SignIn(people()),
        application: answers::application("wiki").unwrap(),
        internal: InternalUrl::parse("http://wiki.corp.local:8080/").unwrap(),
        external: Host::parse("wiki.example.com").unwrap(),
    }
}

fn people() -> SignIn {
    SignIn {
        provider: Provider {
            preset: Some(Preset::Entra),
            issuer: format!("https://login.microsoftonline.com/{TENANT}/v2.0"),
            client_id: "0d0e1f2a-0000-4000-8000-000000000000".to_owned(),
        },
        client_secret: "/etc/appproxy/oidc.secret".into(),
        host: Host::parse("login.example.com").unwrap(),
        allow: vec![Allowed::Group("staff".to_owned())],
    }
}

fn guard(preset: Option<Preset>, allow: Vec<Allowed>) -> Guard {
    Guard::SignIn(SignIn {
        provider: provider(preset),
        allow,
        ..people()
    })
}

fn nobody() -> Guard {
    Guard::Networks(answers::networks(answers::PRIVATE).unwrap())
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
        Some(Preset::Entra) => return people().provider,
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
    let presets = presets.map(Some).chain([None]);
    let bare = Certificate::Pfx {
        file: "/etc/a.pfx".into(),
        password: None,
    };
    let certificates = [sample().certificate, bare, pem(), trial()];
    let allows = [vec![Allowed::Everybody], people().allow, emails()];
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
                        guard: preset.map_or_else(nobody, |one| guard(one, allow.clone())),
                        certificate: certificate.clone(),
                        ..sample()
                    };
                    let config = load(&answers);
                    let lines = text::text(&answers).lines().count();
                    assert!(lines <= text::MOST_LINES, "{lines}");
                    let port = config.sign_in.map(|sign_in| sign_in.port);
                    assert_eq!(port, preset.map(|_| answers.public.port));
                    assert_eq!(config.listen.public, std::slice::from_ref(&answers.public));
                    count += 1;
                }
            }
        }
    }
    assert_eq!(count, 144);
}

#[test]
fn what_is_written_is_what_was_read_before() {
    let cases = [
        ("entra-pfx-group", sample()),
        (
            "google-pem-email",
            Answers {
                guard: guard(Some(Preset::Google), emails()),
                certificate: pem(),
                ..sample()
            },
        ),
        (
            "keycloak-trial-group",
            Answers {
                guard: guard(Some(Preset::Keycloak), people().allow),
                certificate: trial(),
                ..sample()
            },
        ),
        (
            "other-pem-everybody-port",
            Answers {
                file: "/srv/my gateway/gateway.yaml".into(),
                guard: Guard::SignIn(SignIn {
                    client_secret: "/srv/my gateway/oidc.secret".into(),
                    provider: provider(None),
                    allow: vec![Allowed::Everybody],
                    ..people()
                }),
                public: Endpoint::parse("gw.example.com:8443").unwrap(),
                certificate: pem(),
                ..sample()
            },
        ),
        (
            "none-trial",
            Answers {
                guard: nobody(),
                certificate: trial(),
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
            guard: Guard::SignIn(SignIn {
                client_secret: path.clone().into(),
                provider: Provider { client_id: client.clone(), ..provider(None) },
                allow: vec![Allowed::Group(group.clone()), Allowed::Email("a\"}]#@x: y".into())],
                ..people()
            }),
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
        prop_assert_eq!(text.lines().count(), text::text(&Answers { certificate: pem(), guard: guard(None, people().allow), ..sample() }).lines().count());
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
        people().provider.issuer
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
    assert_eq!(answers::provider("None"), Ok(Make::Nobody));
    assert_eq!(
        answers::networks("192.0.2.7, 2001:db8::/32"),
        Ok(vec!["192.0.2.7".to_owned(), "2001:db8::/32".to_owned()])
    );
    let addresses = "email:alice@example.com, bob@example.com";
    assert_eq!(answers::allowed(addresses, None), Ok(emails()));
}

#[test]
fn bad_answers_are_refused_with_the_reason() {
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
    ];
    refused(all);
}

#[test]
fn bad_answers_about_people_and_files_are_refused_with_the_reason() {
    let google = Some(Preset::Google);
    let all = [
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
            answers::external("login.example.com", Some(&people().host)).err(),
            "where people sign in",
        ),
        (
            answers::networks("everybody").err(),
            "`everybody` is no address and no network",
        ),
        (
            answers::networks("192.0.2.7/24").err(),
            "write `192.0.2.0/24`",
        ),
        (answers::networks("192.0.2.0/24,").err(), "no value"),
        (answers::path("/a\nb").err(), "control character"),
        (answers::path("").err(), "no value"),
        (answers::path("/a${b}").err(), "nothing is substituted"),
        (
            leaf::look("/nowhere/x.pem").err(),
            "cannot read /nowhere/x.pem",
        ),
        (leaf::look("/").err(), "is no file"),
        (leaf::look("/proc/self/status").err(), "neither PEM nor PFX"),
        (secret::typed("a b").err(), "no blanks"),
    ];
    refused(all);
}

/// Each is refused, with a reason that has these words.
fn refused(all: impl IntoIterator<Item = (Option<String>, &'static str)>) {
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
    "keycloak",
    "https://sso.example.com/realms/staff",
    "appproxy",
    "s3cret~value",
    "",
    "",
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
fn without_a_provider_the_network_decides() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("gateway.yaml").display().to_string();
    let typed = "example.com\n\nnone\n\n\nwiki\nhttp://wiki.corp.local\n\n";
    let (said, ended) = run(&["--config", &config], typed);
    assert_eq!(ended, Ok(()), "{said}");
    assert!(said.contains("[10.0.0.0/8,172.16.0.0/12"), "{said}");
    assert!(
        said.contains("Nobody signs in: whoever comes from 10."),
        "{said}"
    );
    assert!(
        !said.contains("callback") && !said.contains("login."),
        "{said}"
    );
    let text = fs::read_to_string(&config).unwrap();
    assert!(text.contains("# Nobody signs in") && text.contains("docs/sign-in.md"));
    let read = GatewayConfig::load(Path::new(&config)).unwrap();
    assert!(read.sign_in.is_none() && read.identity_providers.is_empty());
    let access = &read.applications[0].guard.access;
    let [rule] = &access.allow[..] else {
        panic!("{access:?}")
    };
    let Condition::Ip(networks) = &rule.condition else {
        panic!("{rule:?}")
    };
    let networks: Vec<_> = networks.iter().map(ToString::to_string).collect();
    assert_eq!(networks.join(","), answers::PRIVATE);
    let bare = [
        "--yes",
        "--force",
        "--domain",
        "example.com",
        "--self-signed",
        "--provider",
        "none",
        "--app",
        "wiki=http://wiki.corp.local/",
        "--config",
        &config,
    ];
    let with = |more: &[&str]| run(&[&bare[..], more].concat(), "").1;
    assert_eq!(with(&["--networks", "192.0.2.0/24"]), Ok(()));
    assert!(
        fs::read_to_string(&config)
            .unwrap()
            .contains("ip: [\"192.0.2.0/24\"]")
    );
    assert_eq!(with(&[]), Ok(()));
    let why = with(&["--networks", "everybody"]).unwrap_err();
    assert!(why.starts_with("64 appproxy: --networks: "), "{why}");
    let why = with(&["--allow", "everybody"]).unwrap_err();
    assert!(why.contains("--allow is about people who sign in"), "{why}");
    let mut all = flags(folder.path());
    all.extend(["--networks", "192.0.2.0/24", "--force"].map(str::to_owned));
    let why = run_flags(&all, "").1.unwrap_err();
    assert!(why.contains("--networks is for --provider none"), "{why}");
}

#[test]
fn a_secret_is_never_taken_for_the_name_of_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    fs::write(at("f81d4fae-7dec-11d0-a765-00a0c91e6bf6"), "").unwrap();
    for secret in [
        "s3cret~value",
        "GOCSPX-abcdefGHIJKL0123456789mnopqr",
        "f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
        "oJk8Q~xYz.AbC-12_defGHI.jkl",
        "aB3/xY9+qq==",
        "/aB3xY9qqTTzz81Kkw",
        "correcthorsebattery",
    ] {
        let why = secret::file(secret).unwrap_err();
        assert!(why.contains("looks like the secret itself"), "{why}");
        assert!(!why.contains(secret), "{why}");
    }
    for path in [
        "oidc.secret",
        "secret",
        "./f81d4fae-7dec-11d0",
        "/etc/f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
        "/nowhere/here/oidc.secret",
        "new/oidc.secret",
        &at("new/Folder07/s3cret~value"),
        &at("f81d4fae-7dec-11d0-a765-00a0c91e6bf6"),
    ] {
        let read = secret::file(path);
        assert_eq!(read, Ok(std::path::absolute(path).unwrap()));
    }
    // Pasted twice: once where it belongs, and once more.
    let config = at("gateway.yaml");
    let secret = "GOCSPX-abcdefGHIJKL0123456789mnopqr";
    let mut typed = TYPED.to_vec();
    let asked = typed.iter().position(|line| *line == "s3cret~value");
    typed[asked.unwrap()] = secret;
    typed.insert(asked.unwrap() + 1, secret);
    let (said, ended) = run(&["--config", &config], &(typed.join("\n") + "\n"));
    assert_eq!(ended, Ok(()), "{said}");
    assert!(said.contains("looks like the secret itself"), "{said}");
    assert!(!said.contains(secret), "{said}");
    let kept = fs::read_to_string(at("oidc.secret")).unwrap();
    assert_eq!(kept, format!("{secret}\n"));
    assert_eq!(
        names(folder.path()),
        [
            "example.com.key",
            "example.com.pem",
            "f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
            "gateway.yaml",
            "oidc.secret"
        ]
    );
    let mut all = flags(&folder.path().join("other"));
    all.extend(["--client-secret-file".to_owned(), secret.to_owned()]);
    let why = run_flags(&all, "").1.unwrap_err();
    assert!(
        why.starts_with("64 appproxy: --client-secret-file: this looks like")
            && !why.contains(secret),
        "{why}"
    );
}

#[test]
fn a_secret_that_is_there_is_replaced_by_force_alone() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    fs::write(at("oidc.secret"), "before\n").unwrap();
    let (config, other) = (at("gateway.yaml"), at("other.secret"));
    let kept = || fs::read_to_string(at("oidc.secret")).unwrap();
    let asked = TYPED.iter().position(|line| *line == "s3cret~value");
    let with = |secret: &'static str, file: &[&str]| {
        let (before, after) = TYPED.split_at(asked.unwrap());
        let lines = [before, &[secret], file, &after[2..]].concat();
        lines.join("\n") + "\n"
    };
    let (said, ended) = run(&["--config", &config], &with("after", &["", &other]));
    assert_eq!(ended, Ok(()), "{said}");
    assert!(said.contains("oidc.secret is there already"), "{said}");
    assert_eq!(kept(), "before\n");
    assert_eq!(fs::read_to_string(&other).unwrap(), "after\n");
    // Nothing typed: it stays, and is named.
    let words = ["--config", &config, "--force"];
    let (said, ended) = run(&words, &with("", &[""]));
    assert_eq!(ended, Ok(()), "{said}");
    assert_eq!(kept(), "before\n");
    let (said, ended) = run(&words, &with("after", &[""]));
    assert_eq!(ended, Ok(()), "{said}");
    assert_eq!(kept(), "after\n");
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

/// A certificate that issued itself, and its key, PEM.
fn issued(names: &[&str]) -> (String, String) {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

const PASSWORD: &str = "Secret123";

/// For wiki.example.com and *.apps.example.com.
fn pfx(name: &str) -> String {
    let file = std::path::absolute("testdata/certs/files")
        .unwrap()
        .join(name);
    file.display().to_string()
}

/// Whether the gateway starts with what was written, and each host has its certificate.
fn is_taken(file: &str) {
    let clock = Clock::manual(Timestamp(1_790_000_000));
    let crate::cli::gateway::Examined {
        config,
        loaded,
        findings,
    } = crate::cli::gateway::examine(Path::new(file), &clock);
    assert!(findings.is_empty(), "{findings:?}");
    let config = config.unwrap();
    let sign_in = config
        .sign_in
        .iter()
        .map(|sign_in| HostPattern::Exact(sign_in.host.clone()));
    let urls = config
        .applications
        .iter()
        .flat_map(|one| one.external_urls());
    let der = loaded.certificates[0].key.cert[0].clone();
    let leaf = crate::certs::diagnose::Certificate::read(der).unwrap();
    for host in sign_in.chain(urls.map(|url| url.host.clone())) {
        assert!(crate::certs::diagnose::covers(&leaf, &host), "{host}");
    }
}

#[test]
fn certificates_are_known_by_what_is_in_them() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let (chain, key) = issued(&["*.example.com"]);
    fs::write(at("both"), format!("{chain}{key}")).unwrap();
    fs::write(at("tls.pem"), &chain).unwrap();
    fs::write(at("tls.key"), &key).unwrap();
    fs::write(at("password"), PASSWORD).unwrap();
    let pfx = pfx("pfx-modern.pfx");
    let of = |name: &str| leaf::look(name).map(|(_, kind)| kind);
    assert_eq!(of(&at("both")), Ok(CertificateFile::Pem { has_key: true }));
    assert_eq!(
        of(&at("tls.pem")),
        Ok(CertificateFile::Pem { has_key: false })
    );
    assert_eq!(of(&pfx), Ok(CertificateFile::Pfx));
    assert!(
        of(&at("tls.key"))
            .unwrap_err()
            .contains("has no certificate in it")
    );
    let config = at("out/gateway.yaml");
    let with = |more: &[&str]| {
        let mut all = flags(&folder.path().join("out"));
        all.retain(|flag| flag != "--self-signed");
        all.extend(more.iter().map(|flag| (*flag).to_owned()));
        all.push("--force".to_owned());
        let (_, ended) = run_flags(&all, "");
        ended.map(|()| fs::read_to_string(&config).unwrap())
    };
    let text = with(&["--certificate", &at("tls.pem")]).unwrap();
    assert!(text.contains("tls.key\""), "the key beside it");
    with(&["--certificate", &at("both")]).unwrap();
    let opened = ["--certificate", &pfx, "--password-file", &at("password")];
    let fitting = ["--sign-in", "login.apps.example.com"];
    let text = with(&[&opened[..], &fitting].concat()).unwrap();
    assert!(text.contains("password: { file:"));
    for (more, part) in [
        (
            &["--certificate", &pfx, "--key", &at("tls.key")][..],
            "--key is for PEM",
        ),
        (
            &opened[..],
            "--certificate: the certificate is not for login.example.com (it is",
        ),
        (&["--certificate", &pfx], "--password-file: "),
        (
            &["--certificate", &pfx, "--password-file", &at("tls.key")],
            "--password-file: ",
        ),
        (
            &["--certificate", &at("tls.pem"), "--key", &at("tls.pem")],
            "--key: ",
        ),
    ] {
        let why =
            with(&[more, &fitting[..if more.len() == 2 { 2 } else { 0 }]].concat()).unwrap_err();
        assert!(why.contains(part), "{part}: {why}");
    }
}

#[test]
fn a_domain_that_no_certificate_can_be_made_for_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.yaml").display().to_string();
    let bare = [
        "--yes",
        "--self-signed",
        "--provider",
        "none",
        "--app",
        "wiki=http://wiki.corp.local/",
        "--config",
        &file,
    ];
    for (domain, part) in [
        (
            "localhost",
            "`*.localhost` stands for a whole top-level domain",
        ),
        ("lan", "such as apps.lan"),
        ("192.0.2.7", "is an address"),
        ("[::1]", "is an address"),
    ] {
        let why = run(&[&bare[..], &["--domain", domain]].concat(), "")
            .1
            .unwrap_err();
        assert!(
            why.starts_with("64 appproxy: --domain: ") && why.contains(part),
            "{why}"
        );
    }
    assert!(names(folder.path()).is_empty());
    let ended = run(&[&bare[..], &["--domain", "apps.localhost"]].concat(), "").1;
    assert_eq!(ended, Ok(()));
    is_taken(&file);
    // It is asked for again, and before anything else.
    let (said, ended) = run(
        &["--config", &file, "--force"],
        &format!("localhost\n{}\n", TYPED.join("\n")),
    );
    assert_eq!(ended, Ok(()), "{said}");
    let (first, rest) = said.split_once("Name and port").unwrap();
    assert!(
        first.contains("top-level domain") && !rest.contains("localhost"),
        "{said}"
    );
    is_taken(&file);
    // One that names each host may be of such a domain.
    let (chain, key) = issued(&["login.lan", "wiki.lan"]);
    let at = |name: &str| folder.path().join(name).display().to_string();
    fs::write(at("lan.pem"), chain + &key).unwrap();
    let mut all = flags(folder.path());
    all.retain(|flag| flag != "--self-signed");
    all[2] = "lan".to_owned();
    all.extend([
        "--force".to_owned(),
        "--certificate".to_owned(),
        at("lan.pem"),
    ]);
    assert_eq!(run_flags(&all, "").1, Ok(()));
    is_taken(&file);
}

/// [`TYPED`], with these lines about the certificate and these about hosts.
fn typed_with(certificate: &[&str], sign_in: &[&str], external: &[&str]) -> String {
    let lines = [&TYPED[..7], certificate, sign_in, &TYPED[9..12], external].concat();
    lines.join("\n") + "\n"
}

#[test]
fn a_certificate_that_is_for_other_hosts_is_refused_at_its_question() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let file = at("gateway.yaml");
    let write = |name: &str, names: &[&str]| {
        let (chain, key) = issued(names);
        fs::write(at(name), chain + &key).unwrap();
        at(name)
    };
    let other = write("other.pem", &["*.example.org", "www.example.net"]);
    let one = write("one.pem", &["wiki.example.com"]);
    let two = write("two.pem", &["wiki.example.com", "sso.example.com"]);
    let words = ["--config", &file, "--force"];
    let (said, ended) = run(&words, &typed_with(&[&other, &one, ""], &[""], &[""]));
    assert_eq!(ended, Ok(()), "{said}");
    assert!(
        said.contains("for no host of example.com (it is for *.example.org, www"),
        "{said}"
    );
    assert!(said.contains("for wiki.example.com alone"), "{said}");
    is_taken(&file);
    // Hosts are where it is for them.
    let typed = typed_with(
        &[&two, ""],
        &["", "sso.example.com"],
        &["docs.example.com", ""],
    );
    let (said, ended) = run(&words, &typed);
    assert_eq!(ended, Ok(()), "{said}");
    for host in ["login", "docs"] {
        assert!(
            said.contains(&format!("not for {host}.example.com (it is for")),
            "{said}"
        );
    }
    is_taken(&file);
    // Nothing is written where nothing fits.
    fs::remove_file(&file).unwrap();
    let (_, ended) = run(&words, &typed_with(&[&other, &other, &other], &[], &[]));
    assert!(ended.unwrap_err().contains("no usable answer in 3 tries"));
    let bare = |certificate: &str, more: &[&str]| {
        let mut all = flags(folder.path());
        all.retain(|flag| flag != "--self-signed");
        all.extend(["--certificate", certificate].map(str::to_owned));
        all.extend(more.iter().map(|flag| (*flag).to_owned()));
        run_flags(&all, "").1
    };
    for certificate in [&other, &one, &two] {
        let why = bare(certificate, &[]).unwrap_err();
        let part = "64 appproxy: --certificate: the certificate is not for login.example.com";
        assert!(why.starts_with(part), "{why}");
    }
    assert!(!Path::new(&file).exists());
    assert_eq!(bare(&two, &["--sign-in", "sso.example.com"]), Ok(()));
    // Where nobody signs in one host is enough.
    let typed = format!("example.com\n\nnone\n{one}\n\n\nwiki\nhttp://wiki.corp.local\n\n");
    let (said, ended) = run(&words, &typed);
    assert_eq!(ended, Ok(()), "{said}");
    is_taken(&file);
}

#[test]
fn a_key_and_a_password_are_tried_when_they_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let file = at("gateway.yaml");
    let (chain, key) = issued(&["*.example.com"]);
    fs::write(at("tls.pem"), chain).unwrap();
    fs::write(at("good.key"), key).unwrap();
    fs::write(at("tls.key"), issued(&["x.example.com"]).1).unwrap();
    let words = ["--config", &file, "--force"];
    let typed = typed_with(&[&at("tls.pem"), "", &at("good.key")], &[""], &[""]);
    let (said, ended) = run(&words, &typed);
    assert_eq!(ended, Ok(()), "{said}");
    assert!(
        said.contains("does not belong to the certificate"),
        "{said}"
    );
    is_taken(&file);
    // A chain in the wrong order is no key's fault, and no name's.
    let (key, authority) = (
        rcgen::KeyPair::generate().unwrap(),
        rcgen::KeyPair::generate().unwrap(),
    );
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let issuer = params.self_signed(&authority).unwrap().pem();
    let leaf = rcgen::CertificateParams::new(vec!["*.example.com".to_owned()]).unwrap();
    let leaf = leaf
        .signed_by(&key, &rcgen::Issuer::new(params, authority))
        .unwrap();
    fs::write(at("turned.pem"), issuer + &leaf.pem()).unwrap();
    fs::write(at("turned.key"), key.serialize_pem()).unwrap();
    let (said, ended) = run(
        &words,
        &typed_with(&[&at("turned.pem"), "", ""], &[""], &[""]),
    );
    assert_eq!(ended, Ok(()), "{said}");
    assert!(said.contains("the chain is in the wrong order"), "{said}");
    let modern = pfx("pfx-modern.pfx");
    let typed = typed_with(
        &[&modern, "wrong-one", "", PASSWORD],
        &["login.apps.example.com"],
        &[""],
    );
    let (said, ended) = run(&words, &typed);
    assert_eq!(ended, Ok(()), "{said}");
    assert!(
        !said.contains(PASSWORD) && !said.contains("wrong-one"),
        "{said}"
    );
    assert_eq!(
        fs::read_to_string(at("certificate.password")).unwrap(),
        "Secret123\n"
    );
    is_taken(&file);
    // Only once it is open are its names known: another certificate is asked for then.
    let typed = "example.net\n\nnone\n".to_owned();
    let typed = format!("{typed}{modern}\n{PASSWORD}\n\n\nwiki\nhttp://wiki.corp.local\n\n");
    let (said, ended) = run(&words, &typed);
    assert_eq!(ended, Ok(()), "{said}");
    assert!(said.contains("for no host of example.net"), "{said}");
    is_taken(&file);
    // One without a password is not asked for one.
    let typed = typed_with(&[&pfx("pfx-empty.pfx")], &["login.apps.example.com"], &[""]);
    let (said, ended) = run(&words, &typed);
    assert_eq!(ended, Ok(()), "{said}");
    assert!(!said.contains("Password of the PFX"), "{said}");
    is_taken(&file);
}

#[test]
fn the_redirect_address_is_that_of_the_sign_in() {
    assert_eq!(
        callback(&sample(), &people()),
        "https://login.example.com/.appproxy/callback"
    );
}
