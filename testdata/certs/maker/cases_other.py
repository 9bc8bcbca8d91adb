"""The cases of DER, PKCS#7, requests and lists, of names that lie, and of what holds no certificate."""

import datetime
import json

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from . import pki
from .case import Case, bundle, pem


def single_and_misnamed():
    """DER, PKCS#7, requests and lists; names that lie."""
    leaf, right = pki.leaf(), bundle()
    yield Case(
        "der-certificate.der", leaf, "a certificate in DER", ["no-key", "missing-intermediate"], form="der-certificate"
    )
    yield Case(
        "der-named-crt.crt",
        leaf,
        "a certificate in DER, named .crt as many authorities do",
        ["no-key", "missing-intermediate"],
        form="der-certificate",
    )
    yield Case("der-key.der", pki.key_der("p256"), "a key in DER", ["no-certificate"], form="der-key")
    yield Case(
        "der-truncated.der", leaf[:400], "a certificate in DER, its end missing", ["truncated"], form="der-certificate"
    )
    yield Case(
        "der-trailing.der",
        leaf + b"\n",
        "a certificate in DER with a line end after it",
        ["trailing-octets", "no-key", "missing-intermediate"],
        form="der-certificate",
    )
    yield Case("pem-named-pfx.pfx", right, "PEM with the name of a PFX", extension_lies=True)
    yield Case("pem-named-der.der", right, "PEM with the name of DER", extension_lies=True)
    chain = pem(leaf, pki.ISSUING, key=None)
    for name, encoding, lies in (
        ("pkcs7.p7b", "der", False),
        ("pkcs7.pem", "pem", False),
        ("pkcs7-named-cer.cer", "der", True),
    ):
        made = pki.openssl("crl2pkcs7", "-nocrl", "-certfile", "/dev/stdin", "-outform", encoding, stdin=chain)
        yield Case(
            name,
            made,
            f"PKCS#7 in {encoding.upper()} with the chain" + (", named .cer" if lies else ""),
            ["pkcs7", "no-key"],
            form=f"pkcs7-{encoding}",
            extension_lies=lies,
        )
    request = (
        "req",
        "-new",
        "-key",
        pki.key_path("rsa2048"),
        "-subj",
        "/O=Example Org/CN=wiki.example.com",
        "-addext",
        "subjectAltName=DNS:wiki.example.com",
    )
    wrong = ["csr", "no-certificate", "no-key"]
    yield Case("csr.pem", pki.openssl(*request), "a request in PEM", wrong, hosts=[], form="csr-pem")
    yield Case("csr.der", pki.openssl(*request, "-outform", "DER"), "a request in DER", wrong, hosts=[], form="csr-der")
    yield Case(
        "csr-new.pem",
        pki.openssl(*request, "-newhdr"),
        "a request with the label NEW CERTIFICATE REQUEST",
        wrong,
        hosts=[],
        form="csr-pem",
    )
    yield Case(
        "csr-and-key.pem",
        pki.openssl(*request) + pki.key_pem("rsa2048"),
        "the request and its key: the certificate was never fetched",
        ["csr", "no-certificate"],
    )
    for name, encoding in (("pem", serialization.Encoding.PEM), ("der", serialization.Encoding.DER)):
        yield Case(
            f"crl.{name}",
            revocation_list().public_bytes(encoding),
            f"a revocation list in {name.upper()}",
            ["crl", "no-certificate", "no-key"],
            hosts=[],
            form=f"crl-{name}",
        )


def revocation_list():
    builder = x509.CertificateRevocationListBuilder(x509.load_der_x509_certificate(pki.ISSUING).subject)
    builder = builder.last_update(datetime.datetime(2027, 1, 1)).next_update(datetime.datetime(2027, 2, 1))
    return builder.sign(pki.key_of("issuing"), hashes.SHA256())


def something_else():
    """Files that hold no certificate at all."""
    other = ["not-a-certificate"]
    document = {"certificate": bundle().decode(), "serial": "00"}
    yield Case(
        "json-with-pem.json", json.dumps(document).encode(), "JSON with PEM inside", ["line-breaks-escaped"], hosts=[]
    )
    yield Case("json-error.pem", b'{"error": "unauthorized", "status": 401}\n', "the error of an API", other, hosts=[])
    yield Case(
        "html.pem",
        b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>Please sign in.</body></html>\n",
        "a page to sign in",
        other,
        hosts=[],
    )
    yield Case("empty.pem", b"", "an empty file", ["empty-file"], hosts=[])
    yield Case("blank.pem", b"\r\n \n", "white space only", ["empty-file"], hosts=[])
    yield Case("zeros.pfx", bytes(512), "zero octets, as after a full disk", other, hosts=[], form="pfx")
    ssh = (
        pki.key_of("p256").public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    )
    yield Case("ssh-public.pub", ssh + b" admin@wiki\n", "a public key of OpenSSH", ["ssh-key"], hosts=[])
    putty = b"PuTTY-User-Key-File-3: ecdsa-sha2-nistp256\nEncryption: none\nComment: admin@wiki\n"
    putty += b"Public-Lines: 0\nPrivate-Lines: 0\n"
    yield Case("putty.ppk", putty, "the head of a key of PuTTY", ["ssh-key"], hosts=[])
    yield Case(
        "java.jks",
        bytes.fromhex("feedfeed0000000200000000") + bytes(20),
        "the head of a keystore of Java",
        ["java-keystore"],
        hosts=[],
        form="pfx",
    )
    yield Case("path.pem", b"/etc/ssl/private/wiki.pem\n", "the path of a file in its place", other, hosts=[])
    pgp = b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmQENBA==\n=abcd\n-----END PGP PUBLIC KEY BLOCK-----\n"
    yield Case("pgp.asc", pgp, "a key of PGP", other, hosts=[])


def all_cases():
    yield from single_and_misnamed()
    yield from something_else()
