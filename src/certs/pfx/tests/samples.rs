//! Every file of the folder is read, and what comes of it is what the table says.

use std::fmt::Write as _;

use super::super::{Pfx, PfxError, Spelling, decrypt_key, read};
use super::{FILES, PASSWORD, file};

/// What a file has, on one line.
fn summary(pfx: &Pfx) -> String {
    let mut text = format!("{} key {} cert", pfx.keys.len(), pfx.certificates.len());
    for (other, count) in &pfx.others {
        write!(text, ", {count} {other}").unwrap();
    }
    let protection = &pfx.protection;
    match &protection.mac {
        Some(mac) => write!(text, "; {mac}").unwrap(),
        None => text.push_str("; no MAC"),
    }
    for encryption in &protection.encryptions {
        write!(text, "; {encryption}").unwrap();
    }
    let (keys, certificates) = (protection.keys_in_clear, protection.certificates_in_clear);
    if keys + certificates > 0 {
        write!(text, "; in clear: {keys} key {certificates} cert").unwrap();
    }
    if protection.is_ber {
        text.push_str("; BER");
    }
    if protection.octets_after > 0 {
        write!(text, "; {} octets after", protection.octets_after).unwrap();
    }
    match protection.spelling {
        None => text.push_str("; no password needed"),
        Some(Spelling::AsGiven) => {}
        Some(other) => write!(text, "; {other}").unwrap(),
    }
    for key in &pfx.keys {
        let attributes = &key.attributes;
        if let Some(name) = &attributes.friendly_name {
            write!(text, "; name `{name}`").unwrap();
        }
        if let Some(provider) = &attributes.provider {
            write!(text, "; {provider}").unwrap();
        }
        if attributes.is_local_machine {
            text.push_str("; of the machine");
        }
    }
    text
}

#[test]
fn every_file_is_as_the_table_says() {
    let table = String::from_utf8(file("cases.txt")).unwrap();
    let mut named = Vec::new();
    let mut wrong = String::new();
    for line in table.lines().filter(|line| !line.starts_with('#')) {
        let [name, password, expected] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        let password = match password {
            "-" => None,
            "\"\"" => Some(""),
            other => Some(other),
        };
        let octets = file(name);
        let told = if name.ends_with(".der") {
            decrypt_key(&octets, password).map(|key| {
                assert_eq!(*key.pkcs8, file("key.der"), "{name}");
                key.encryption.to_string()
            })
        } else {
            read(&octets, password).map(|pfx| summary(&pfx))
        };
        let told = told.unwrap_or_else(|e| format!("error: {e}"));
        if told != expected {
            writeln!(wrong, "{name}\t{password:?}\t{told}").unwrap();
        }
        named.push(name.to_owned());
    }
    assert!(wrong.is_empty(), "otherwise than in the table:\n{wrong}");
    named.sort();
    named.dedup();
    let there = std::fs::read_dir(FILES).unwrap();
    let there = there.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut there: Vec<_> = there
        .filter(|name| name.ends_with(".pfx") || name.ends_with(".der") && name != "key.der")
        .collect();
    there.sort();
    assert_eq!(named, there);
    assert_eq!(named.len(), 82);
}

#[test]
fn a_wrong_password_is_told() {
    let table = String::from_utf8(file("cases.txt")).unwrap();
    let mut count = 0;
    for line in table.lines().filter(|line| !line.contains("\terror: ")) {
        let Some(name) = line.split('\t').next().filter(|n| !n.starts_with('#')) else {
            continue;
        };
        let octets = file(name);
        for password in ["wrong", " ’wröng’ \n"] {
            let refused = match name.ends_with(".der") {
                true => decrypt_key(&octets, Some(password)).map(drop),
                false => read(&octets, Some(password)).map(drop),
            };
            let is_told = matches!(refused, Err(PfxError::WrongPassword { .. }));
            assert!(is_told, "{name}: {refused:?}");
        }
        count += 1;
    }
    assert_eq!(count, 72);
}

#[test]
fn a_password_is_needed_where_none_is_given() {
    for name in ["modern.pfx", "legacy.pfx", "nomac.pfx", "pbmac1.pfx"] {
        let refused = read(&file(name), None).unwrap_err();
        assert_eq!(refused, PfxError::PasswordNeeded, "{name}");
        let refused = read(&file(name), Some("")).unwrap_err();
        assert!(matches!(refused, PfxError::WrongPassword { .. }), "{name}");
    }
    let refused = decrypt_key(&file("key-des3.der"), None).unwrap_err();
    assert_eq!(refused, PfxError::PasswordNeeded);
}

#[test]
fn none_and_the_empty_password_open_the_same() {
    for (name, spelling) in [
        ("null.pfx", Spelling::Null),
        ("null-nomac.pfx", Spelling::Null),
        ("empty.pfx", Spelling::Empty),
        ("pw-empty-legacy.pfx", Spelling::Empty),
    ] {
        for password in [None, Some("")] {
            let opened = read(&file(name), password).unwrap();
            assert_eq!(opened.keys.len(), 1);
            assert_eq!(opened.protection.spelling, Some(spelling), "{name}");
        }
    }
}

#[test]
fn a_pasted_password_opens_and_is_told() {
    let cases = [
        ("Secret123\n", Spelling::WithoutBlanks),
        ("Secret123\r\n", Spelling::WithoutBlanks),
        ("\u{feff}Secret123", Spelling::WithoutBlanks),
        (" \tSecret123\u{a0}", Spelling::WithoutBlanks),
        ("\"Secret123\"", Spelling::WithoutQuotes),
        ("'Secret123'\n", Spelling::WithoutQuotes),
        ("“Secret123”", Spelling::WithoutQuotes),
    ];
    for name in [
        "modern.pfx",
        "legacy.pfx",
        "nomac.pfx",
        "nomac-rc4.pfx",
        "pbmac1.pfx",
    ] {
        for (password, spelling) in cases {
            let opened = read(&file(name), Some(password)).unwrap();
            assert_eq!(
                opened.protection.spelling,
                Some(spelling),
                "{name} {password:?}"
            );
            assert_eq!(opened, {
                let mut plain = read(&file(name), Some(PASSWORD)).unwrap();
                plain.protection.spelling = Some(spelling);
                plain
            });
        }
    }
    let key = decrypt_key(&file("key-des3.der"), Some("Secret123\n")).unwrap();
    assert_eq!(key.spelling, Spelling::WithoutBlanks);
}

#[test]
fn whatever_way_it_is_written_it_is_the_same() {
    let plain = read(&file("once.pfx"), Some(PASSWORD)).unwrap();
    let der = file("key.der");
    assert_eq!(*plain.keys[0].pkcs8, der);
    for name in [
        "ber-everywhere.pfx",
        "ber-plain-key.pfx",
        "ber-inner-key.pfx",
        "long-lengths.pfx",
        "three-levels.pfx",
        "rc4-40.pfx",
        "rc2-40.pfx",
        "null.pfx",
    ] {
        let password = (name != "null.pfx").then_some(PASSWORD);
        let other = read(&file(name), password).unwrap();
        assert_eq!(*other.keys[0].pkcs8, der, "{name}");
        assert_eq!(
            other.certificates[0].der, plain.certificates[0].der,
            "{name}"
        );
    }
    for (ber, der) in [
        ("ber-modern.pfx", "modern.pfx"),
        ("ber-legacy.pfx", "legacy.pfx"),
    ] {
        let mut ber = read(&file(ber), Some(PASSWORD)).unwrap();
        assert!(ber.protection.is_ber);
        ber.protection.is_ber = false;
        assert_eq!(ber, read(&file(der), Some(PASSWORD)).unwrap());
    }
}

#[test]
fn a_key_is_tied_to_its_certificate() {
    let pfx = read(&file("two-keys.pfx"), Some(PASSWORD)).unwrap();
    let ids = |id: &Option<Vec<u8>>| id.clone();
    let keys: Vec<_> = pfx
        .keys
        .iter()
        .map(|k| ids(&k.attributes.local_key_id))
        .collect();
    assert_eq!(keys, [Some(b"a".to_vec()), Some(b"b".to_vec())]);
    let certificates = pfx.certificates.iter();
    let certificates: Vec<_> = certificates
        .map(|c| ids(&c.attributes.local_key_id))
        .collect();
    assert_eq!(
        certificates,
        [Some(b"a".to_vec()), Some(b"b".to_vec()), None]
    );
}

#[test]
fn octets_after_the_end_are_told() {
    let mut octets = file("once.pfx");
    octets.extend(b"\r\n\0");
    let opened = read(&octets, Some(PASSWORD)).unwrap();
    assert_eq!(opened.protection.octets_after, 3);
}

#[test]
fn other_files_are_named() {
    let whole = file("once.pfx");
    let cases: [(&[u8], &str); 8] = [
        (b"", "it is empty"),
        (b"-----BEGIN CERTIFICATE-----\nMIIB", "it is PEM text"),
        (
            b"MIIJKgIBAzCC\r\nCPAGCSqG",
            "it is base64 text; decode it first",
        ),
        (
            b"\xfe\xed\xfe\xed\0\0\0\x02",
            "it is a Java key store (JKS); convert it with `keytool -importkeystore`",
        ),
        (
            b"\x30\x80\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02\xa0\x80",
            "it is a PKCS#7 file (.p7b), which has certificates and no key",
        ),
        (
            b"PK\x03\x04",
            "it does not begin like one; it may be a bare certificate or key",
        ),
        (
            &file("key.der"),
            "it does not begin like one; it may be a bare certificate or key",
        ),
        (
            &file("key-des3.der"),
            "it does not begin like one; it may be a bare certificate or key",
        ),
    ];
    for (octets, why) in cases {
        assert_eq!(read(octets, None), Err(PfxError::NotPfx(why)));
    }
    let cut = read(&whole[..whole.len() / 2], Some(PASSWORD));
    assert!(matches!(cut, Err(PfxError::Damaged(_))), "{cut:?}");
}

#[test]
fn nothing_secret_is_shown() {
    let pfx = read(&file("once.pfx"), Some(PASSWORD)).unwrap();
    let key = decrypt_key(&file("key-des3.der"), Some(PASSWORD)).unwrap();
    let shown = format!("{:?} {key:?}", pfx.keys);
    assert!(!shown.contains("pkcs8") && shown.len() < 600, "{shown}");
    let refused = read(&file("once.pfx"), Some("hunter2")).unwrap_err();
    let shown = format!("{refused} {refused:?}");
    assert!(!shown.contains("hunter2"), "{shown}");
}
