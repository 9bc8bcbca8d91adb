"""What a case is, and the words for what is wrong with a file."""

import dataclasses

from . import pki

WIKI = ["wiki.example.com"]
PASSWORD, UMLAUT, EMOJI, SPECIAL = "Secret123", "pässwörd€", "key😀pw", 'a"b$c`d\\e%20 f'

FAULTS = {
    # The container and its password
    "wrong-password": "the password does not open the file",
    "wrong-password-or-damaged": "the MAC fails with the right password too: the two cannot be told apart",
    "password-needed": "the file is encrypted and no password was given",
    "password-unneeded": "a password was given, and nothing is encrypted",
    "password-line-end": "the password was pasted with its line end",
    "password-quotes": "the password was pasted in quotes",
    "password-misread": "the tool that made the file read the password in another character set",
    "password-characters": "other programs may refuse the password for its characters",
    "password-empty": "the file is encrypted with an empty password",
    "password-null": "the file is authenticated with no password at all, which is not the empty one",
    "old-encryption": "RC2, RC4 or 3DES; works, newer programs refuse it",
    "old-key-encryption": "a key encrypted in the old way of OpenSSL (DEK-Info), which guards it badly",
    "unsupported-encryption": "a cipher or key derivation we do not read (scrypt)",
    "no-mac": "nothing protects the file from changes",
    "key-unencrypted": "the private key in a PFX is readable without the password",
    "too-many-iterations": "key derivation would take minutes or for ever",
    "too-deep": "nested deeper than any honest file",
    "truncated": "the end of the file is missing",
    "trailing-octets": "something follows the end of the structure",
    "ber": "indefinite lengths; works, some programs refuse it",
    "software-ksp-ec": "a key that is not RSA from the Microsoft Software KSP, which Entra refuses",
    # What is in it
    "no-key": "no private key",
    "no-certificate": "no certificate",
    "key-mismatch": "the private key belongs to another certificate",
    "several-keys": "more than one private key",
    "several-leaves": "more than one certificate of a server",
    "duplicate-certificate": "the same certificate twice",
    "missing-intermediate": "the chain has a hole",
    "missing-intermediate-unknown": "the chain has a hole, and no address says where to fetch what fills it",
    "wrong-order": "the chain is not in the order of issuers",
    "root-included": "the root is sent along; needless",
    "extra-certificate": "a certificate that is no part of the chain",
    "public-key-only": "a public key, not a private one",
    "csr": "a request for a certificate, not a certificate",
    "crl": "a list of revoked certificates",
    "pkcs7": "PKCS#7: certificates, never a key",
    "ssh-key": "a key of OpenSSH or PuTTY",
    "java-keystore": "a keystore of Java",
    "not-a-certificate": "something else altogether",
    "empty-file": "nothing in it",
    # How it is written
    "extension-lies": "the content is not what the file's name says",
    "byte-order-mark": "a UTF-8 byte order mark",
    "utf-16": "UTF-16, as PowerShell writes with >",
    "end-line-missing": "a PEM block without its END line",
    "labels-differ": "BEGIN and END name different things",
    "line-ends": "line ends of old Macs, which other programs do not read",
    "base64-broken": "a PEM block with characters that are not base64",
    "line-breaks-lost": "the line breaks became spaces or nothing",
    "line-breaks-escaped": "the line breaks are the two characters \\n",
    "indented": "every line is indented",
    "dashes-replaced": "the hyphens became typographic dashes",
    "base64-of-pem": "the whole PEM file in base64 once more",
    "base64-without-pem": "base64 without BEGIN and END lines",
    "trusted-certificate": "OpenSSL's own form TRUSTED CERTIFICATE",
    # Keys and signatures
    "weak-key": "a key too short for today",
    "unsupported-key": "a kind of key TLS servers or we do not use",
    "uncommon-key": "works here, but browsers or public authorities refuse it",
    "weak-signature": "signed with MD5 or SHA-1",
    # The certificate
    "expired": "the certificate has ended",
    "not-yet-valid": "the certificate has not begun",
    "ends-soon": "the certificate ends within 30 days",
    "valid-too-long": "longer than browsers accept of a public authority",
    "intermediate-expired": "a certificate of an authority in the chain has ended",
    "self-signed": "signed with its own key",
    "authority-as-leaf": "a certificate of an authority (CA:TRUE) in the place of the server's",
    "unknown-authority": "the chain ends at a root that is not trusted",
    "issuer-key-differs": "a certificate with the issuer's name is here, but with another key",
    "issuer-no-authority": "signed by a certificate that is not of an authority",
    "signature-wrong": "the signature is not of the issuer's key, or the certificate was changed",
    "cross-signed": "the same authority twice, signed by two roots; right",
    "crossed-order": "the first of the two leads to a root that is not trusted; clients that do not look back fail",
    "extension-twice": "the same extension twice, which is malformed",
    "no-san": "no subject alternative name; the common name does not count",
    "san-empty": "the extension is there, with no name in it",
    "san-no-dns": "only names that are not of a host",
    "san-not-ascii": "a name not in the xn-- form",
    "san-underscore": "a name with an underscore",
    "san-trailing-dot": "a name with a dot at its end",
    "host-not-covered": "the certificate is not for a name asked for",
    "wildcard-depth": "a wildcard stands for one label, the name asked for has more",
    "wildcard-apex": "a wildcard does not cover the name it stands under",
    "wildcard-partial": "a wildcard beside other characters in a label",
    "wildcard-place": "a wildcard that is not the first label",
    "wildcard-public-suffix": "a wildcard over a public suffix",
    "no-extended-usage": "no extended key usage; works, a public authority would set it",
    "usage-not-server": "the extended key usage is not that of a server",
    "key-usage": "the key usage has no digitalSignature, which TLS 1.3 needs",
    "name-constraints": "an authority in the chain may not issue for these names",
    "path-length": "an authority in the chain may not issue to a further authority",
    "unknown-critical": "a critical extension we do not know",
    "serial-not-positive": "the serial number is not positive",
    "version-1": "a certificate of version 1, without extensions",
    "must-staple": "the certificate demands an OCSP response",
    # Lists of revoked certificates
    "revoked": "a list that counts has the certificate, or that of an authority in the chain",
    "list-expired": "a list has ended",
    "list-not-yet-valid": "a list has not begun",
    "list-other-issuer": "a list of an authority that has issued nothing of the chain",
    "list-signature": "the signature of a list is not by the key of the authority, or is not known to be",
    "list-partial": "a list that is about other certificates of the authority",
    "list-unreadable": "a list that is damaged, of a kind that is not read, or no list",
}


@dataclasses.dataclass
class Case:
    """A file, the password tried, the names asked for, and what is wrong.

    `form` says how OpenSSL is to read it: pfx, pem, der-certificate, der-key,
    pkcs7-pem, pkcs7-der, csr-pem, csr-der, crl-pem or nothing.
    """

    file: str
    data: bytes
    construct: str
    faults: list = dataclasses.field(default_factory=list)
    password: str | None = None
    hosts: list = dataclasses.field(default_factory=lambda: list(WIKI))
    form: str = "pem"
    extension_lies: bool = False
    by: str = "openssl"
    # Files of revocation lists that are tried with it, by their names.
    lists: dict = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        if self.extension_lies:
            self.faults = [*self.faults, "extension-lies"]
        unknown = [word for word in self.faults if word not in FAULTS]
        assert not unknown, f"{self.file}: {unknown}"


def pem(*certificates, key="p256"):
    """Certificates, then the key."""
    return pki.pem_certificates(*certificates) + (pki.key_pem(key) if key else b"")


def bundle(key="p256"):
    """What most cases begin with: certificate, intermediate, key, all right."""
    return pem(pki.leaf(key=key), pki.ISSUING, key=key)


def faulty(name, construct, faults, *certificates, key="p256", hosts=None):
    more = {} if hosts is None else {"hosts": hosts}
    return Case(f"{name}.pem", pem(*certificates, key=key), construct, list(faults), **more)


def with_leaf(name, construct, faults, *, hosts=None, key="p256", **changes):
    """A certificate changed in one thing, its intermediate and key."""
    return faulty(name, construct, faults, pki.leaf(name, key, **changes), pki.ISSUING, key=key, hosts=hosts)
