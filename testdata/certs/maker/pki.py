"""The public key infrastructure of the test files: keys, certificates, authorities.

Certificates are encoded by hand, so that each can have exactly one fault.
Keys are made once and kept in `keys/`; serial numbers come from the label of
the certificate, so a second run writes the same octets.
"""

import base64
import functools
import hashlib
import ipaddress
import pathlib
import subprocess

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding

from . import der

HERE = pathlib.Path(__file__).resolve().parent.parent
ISSUER_URL = "http://pki.example.com/issuing.crt"
LEAF_FROM, LEAF_TO = "2026-12-01", "2027-02-28"
CA_FROM, CA_TO = "2020-01-01", "2040-01-01"

SERVER_AUTH, CLIENT_AUTH = "1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"
ANY_USAGE = "2.5.29.37.0"
RSA = ["-algorithm", "RSA", "-pkeyopt"]
EC = ["-algorithm", "EC", "-pkeyopt"]
KEYS = {
    "root": [*RSA, "rsa_keygen_bits:2048"],
    "issuing": [*RSA, "rsa_keygen_bits:2048"],
    "other-root": [*EC, "ec_paramgen_curve:P-256"],
    "other-issuing": [*EC, "ec_paramgen_curve:P-256"],
    "impostor": [*RSA, "rsa_keygen_bits:2048"],
    "p256": [*EC, "ec_paramgen_curve:P-256"],
    "p256-b": [*EC, "ec_paramgen_curve:P-256"],
    "p384": [*EC, "ec_paramgen_curve:P-384"],
    "p521": [*EC, "ec_paramgen_curve:P-521"],
    "secp256k1": [*EC, "ec_paramgen_curve:secp256k1"],
    "brainpool": [*EC, "ec_paramgen_curve:brainpoolP256r1"],
    "rsa1024": [*RSA, "rsa_keygen_bits:1024"],
    "rsa2048": [*RSA, "rsa_keygen_bits:2048"],
    "rsa4096": [*RSA, "rsa_keygen_bits:4096"],
    "rsa-pss": ["-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048"],
    "ed25519": ["-algorithm", "ED25519"],
    "ed448": ["-algorithm", "ED448"],
    "dsa": None,
}


def openssl(*arguments, stdin=None):
    """What an OpenSSL command writes; a failure of it ends the run."""
    done = subprocess.run(["openssl", *map(str, arguments)], input=stdin, capture_output=True)
    if done.returncode != 0:
        raise RuntimeError(f"openssl {arguments}: {done.stderr.decode(errors='replace')}")
    return done.stdout


def key_path(name):
    """The file of a private key, in PKCS#8 PEM, made when it is not there."""
    path = HERE / "keys" / f"{name}.pem"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        if name == "dsa":
            made = openssl("genpkey", "-genparam", "-algorithm", "DSA", "-pkeyopt", "dsa_paramgen_bits:2048")
            parameters = path.with_suffix(".parameters")
            parameters.write_bytes(made)
            path.write_bytes(openssl("genpkey", "-paramfile", parameters))
            parameters.unlink()
        else:
            path.write_bytes(openssl("genpkey", *KEYS[name]))
    return path


@functools.cache
def key_pem(name):
    return key_path(name).read_bytes()


@functools.cache
def key_der(name):
    """The PKCS#8 PrivateKeyInfo."""
    return base64.b64decode(b"".join(key_pem(name).splitlines()[1:-1]))


@functools.cache
def key_of(name):
    return serialization.load_pem_private_key(key_pem(name), None)


@functools.cache
def spki(name):
    """The SubjectPublicKeyInfo."""
    return openssl("pkey", "-in", key_path(name), "-pubout", "-outform", "DER")


def key_id(name):
    """RFC 5280, 4.2.1.2, method 1: SHA-1 over the bits of the public key."""
    return hashlib.sha1(der.children(der.read(spki(name))[1])[1][1][1:]).digest()


def dn(common_name, organisation="Example Org"):
    """A Name of O and CN; without a common name, of O only."""

    def part(attribute, text):
        return der.set_of(der.seq(der.oid(attribute), der.tlv(0x0C, text.encode())))

    return der.seq(part("2.5.4.10", organisation), part("2.5.4.3", common_name) if common_name else b"")


def extension(identifier, value, critical=False):
    return der.seq(der.oid(identifier), der.TRUE if critical else b"", der.octets(value))


def basic_constraints(ca, path_length=None):
    limit = b"" if path_length is None else der.integer(path_length)
    return extension("2.5.29.19", der.seq(der.TRUE if ca else b"", limit), critical=True)


def key_usage(*positions):
    """Bits by number: 0 digitalSignature, 2 keyEncipherment, 4 keyAgreement, 5 keyCertSign, 6 cRLSign."""
    octet = sum(0x80 >> position for position in positions)
    return extension("2.5.29.15", der.bits(bytes([octet]), 7 - max(positions)), critical=True)


def extended_key_usage(*usages):
    return extension("2.5.29.37", der.seq(*map(der.oid, usages)))


def general_name(name):
    """A DNS name in the octets given; `email:`, `ip:` and `net:` choose another form."""
    kind, _, text = name.partition(":")
    if kind == "ip" and text:
        return der.tlv(0x87, ipaddress.ip_address(text).packed)
    if kind == "net":
        network = ipaddress.ip_network(text)
        return der.tlv(0x87, network.network_address.packed, network.netmask.packed)
    if kind == "email":
        return der.tlv(0x81, text.encode())
    return der.tlv(0x82, name.encode())


def alternative_names(*names):
    return extension("2.5.29.17", der.seq(*map(general_name, names)))


def name_constraints(permitted=(), excluded=()):
    def trees(tag, names):
        return der.tlv(tag, *(der.seq(general_name(name)) for name in names)) if names else b""

    return extension("2.5.29.30", der.seq(trees(0xA0, permitted), trees(0xA1, excluded)), critical=True)


def subject_key(name):
    return extension("2.5.29.14", der.octets(key_id(name)))


def authority_key(name):
    return extension("2.5.29.35", der.seq(der.tlv(0x80, key_id(name))))


def issuer_address(url=ISSUER_URL):
    """Authority information access: where the certificate of the issuer is fetched."""
    where = der.seq(der.oid("1.3.6.1.5.5.7.48.2"), der.tlv(0x86, url.encode()))
    return extension("1.3.6.1.5.5.7.1.1", der.seq(where))


def sign(key, digest, message):
    """The AlgorithmIdentifier and the signature; the ECDSA one is deterministic (RFC 6979)."""
    private = key_of(key)
    algorithm = {"md5": hashes.MD5, "sha1": hashes.SHA1, "sha256": hashes.SHA256}[digest]()
    if isinstance(private, ec.EllipticCurvePrivateKey):
        scheme = ec.ECDSA(algorithm, deterministic_signing=True)
        return der.seq(der.oid("1.2.840.10045.4.3.2")), private.sign(message, scheme)
    number = {"md5": 4, "sha1": 5, "sha256": 11}[digest]
    identifier = der.seq(der.oid(f"1.2.840.113549.1.1.{number}"), der.NULL)
    return identifier, private.sign(message, padding.PKCS1v15(), algorithm)


def serial_of(label):
    """A serial number of 120 bits that depends on nothing but the label."""
    return int.from_bytes(hashlib.sha256(label.encode()).digest()[:15], "big") | 1 << 118


def certificate(label, subject, key, issuer, issuer_key, extensions, valid, *, digest="sha256", serial=None, version=3):
    """A certificate in DER. `extensions` are encoded ones, in their order."""
    algorithm, _ = sign(issuer_key, digest, b"")
    to_sign = der.seq(
        der.tlv(0xA0, der.integer(version - 1)) if version > 1 else b"",
        der.integer(serial_of(label) if serial is None else serial),
        algorithm,
        issuer,
        der.seq(*map(der.utc_time, valid)),
        subject,
        spki(key),
        der.tlv(0xA3, der.seq(*extensions)) if version > 2 and extensions else b"",
    )
    return der.seq(to_sign, algorithm, der.bits(sign(issuer_key, digest, to_sign)[1]))


def authority(label, name, key, issuer_name, issuer_key, *, valid=(CA_FROM, CA_TO), path_length=None, usage=(5, 6), extra=()
):
    """A certificate of an authority."""
    extensions = [basic_constraints(True, path_length), key_usage(*usage), subject_key(key)]
    if key != issuer_key:
        extensions.append(authority_key(issuer_key))
    return certificate(label, dn(name), key, dn(issuer_name), issuer_key, [*extensions, *extra], valid)


def list_address(url):
    """CRL distribution points: where the list is fetched that tells whether the certificate is revoked."""
    return extension("2.5.29.31", der.seq(der.seq(full_name(url))))


def full_name(url):
    """DistributionPointName, as both the certificate and the list have it."""
    return der.tlv(0xA0, der.tlv(0xA0, der.tlv(0x86, url.encode())))


def list_scope(url=None, *, servers=False, authorities=False):
    """Issuing distribution point: which part of an authority's certificates a list is about."""
    name = full_name(url) if url else b""
    only = [der.tlv(0x80 + tag, b"\xff") for tag, is_so in ((1, servers), (2, authorities)) if is_so]
    return extension("2.5.29.28", der.seq(name, *only), critical=True)


def delta_of(number):
    """The mark of a list that has only what changed since another."""
    return extension("2.5.29.27", der.integer(number), critical=True)


REASONS = {"keyCompromise": 1, "superseded": 4, "certificateHold": 6}
LIST_FROM, LIST_TO = "2027-01-11", "2027-01-18"


def revocation_list(
    revoked=(),
    *,
    issuer="Example Issuing CA",
    key="issuing",
    valid=(LIST_FROM, LIST_TO),
    extra=(),
    version=2,
    digest="sha256",
):
    """A list of revoked certificates in DER. `revoked` are labels of certificates, each with the reason or none."""

    def entry(label, reason):
        extensions = extension("2.5.29.21", der.tlv(0x0A, bytes([REASONS[reason]]))) if reason else b""
        when = der.utc_time("2027-01-10T12:00:00")
        return der.seq(der.integer(serial_of(label)), when, der.seq(extensions) if extensions else b"")

    algorithm, _ = sign(key, digest, b"")
    extensions = [authority_key(key), extension("2.5.29.20", der.integer(7)), *extra]
    to_sign = der.seq(
        der.integer(version - 1) if version > 1 else b"",
        algorithm,
        dn(issuer),
        *map(der.utc_time, valid),
        der.seq(*(entry(*one) for one in revoked)) if revoked else b"",
        der.tlv(0xA0, der.seq(*extensions)) if version > 1 else b"",
    )
    return der.seq(to_sign, algorithm, der.bits(sign(key, digest, to_sign)[1]))


ROOT_NAME, ISSUING_NAME = "Example Root CA", "Example Issuing CA"
NAMES = ("wiki.example.com", "*.apps.example.com")
ROOT = authority("root", ROOT_NAME, "root", ROOT_NAME, "root")
ISSUING = authority("issuing", ISSUING_NAME, "issuing", ROOT_NAME, "root", path_length=0)
OTHER_ROOT = authority("other root", "Unrelated Root CA", "other-root", "Unrelated Root CA", "other-root")
OTHER_ISSUING = authority(
    "other issuing", "Unrelated Issuing CA", "other-issuing", "Unrelated Root CA", "other-root", path_length=0
)


def leaf(
    label="wiki",
    key="p256",
    *,
    names=NAMES,
    common_name=None,
    issuer=ISSUING_NAME,
    issuer_key="issuing",
    valid=(LEAF_FROM, LEAF_TO),
    drop=(),
    extra=(),
    digest="sha256",
    serial=None,
    version=3,
    **replaced,
):
    """The certificate of a server, right unless told otherwise.

    `drop` leaves extensions out by name, `replaced` puts another in the place of one.
    """
    extensions = {
        "basic": basic_constraints(False),
        "usage": key_usage(0),
        "extended": extended_key_usage(SERVER_AUTH),
        "names": alternative_names(*names),
        "subject_key": subject_key(key),
        "authority_key": authority_key(issuer_key),
        "address": issuer_address(),
    }
    assert set(replaced) <= set(extensions) and set(drop) <= set(extensions)
    kept = [value for name, value in {**extensions, **replaced}.items() if name not in drop]
    subject = dn(common_name if common_name is not None else names[0] if names else "wiki.example.com")
    return certificate(
        label,
        subject,
        key,
        dn(issuer),
        issuer_key,
        [*kept, *extra],
        valid,
        digest=digest,
        serial=serial,
        version=version,
    )


def pem_certificates(*certificates):
    return b"".join(der.pem("CERTIFICATE", one) for one in certificates)
