"""PFX files: those OpenSSL writes, and those it does not (RFC 7292, RFC 9579)."""

import functools
import hashlib
import hmac
import json
import tempfile

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from . import der, pki

DATA, PBES2, PBKDF2 = "1.2.840.113549.1.7.1", "1.2.840.113549.1.5.13", "1.2.840.113549.1.5.12"
HMAC = {"sha256": "1.2.840.113549.2.9", "sha512": "1.2.840.113549.2.11"}
SHA256 = "2.16.840.1.101.3.4.2.1"
BAG = "1.2.840.113549.1.12.10.1"
SALT = bytes(range(16))
WRITTEN_ONE = der.integer(1)
RECIPES = pki.HERE / "keys" / "recipes.json"


def made_once(name, recipe, make):
    """A file whose maker uses random salts: kept until its recipe changes."""
    recipes = json.loads(RECIPES.read_text()) if RECIPES.exists() else {}
    digest = hashlib.sha256(repr(recipe).encode()).hexdigest()[:32]
    path = pki.HERE / name
    if path.exists() and recipes.get(name) == digest:
        return path.read_bytes()
    data = make()
    path.write_bytes(data)
    RECIPES.write_text(json.dumps({**recipes, name: digest}, indent=1, sort_keys=True) + "\n")
    return data


def export(name, password, *options, key="p256", certificates=None):
    """`openssl pkcs12 -export` of a key and certificates, the leaf first.

    The password is text, or octets for a tool that does not write UTF-8.
    """
    if certificates is None:
        certificates = [pki.leaf(key=key or "p256"), pki.ISSUING]
    secret = password.encode() if isinstance(password, str) else password

    def make():
        with tempfile.TemporaryDirectory() as folder:
            sheet, secret_file = f"{folder}/certificates.pem", f"{folder}/password"
            with open(sheet, "wb") as out:
                out.write(pki.pem_certificates(*certificates))
            with open(secret_file, "wb") as out:
                out.write(secret + b"\n")
            from_key = ["-inkey", pki.key_path(key)] if key else ["-nokeys"]
            source = ["-in", sheet] if certificates else ["-in", pki.key_path(key), "-nocerts"]
            return pki.openssl("pkcs12", "-export", *from_key, *source, "-passout", f"file:{secret_file}", *options)

    recipe = (secret, options, key and pki.key_pem(key), certificates)
    return made_once(f"files/{name}", recipe, make)


def bmp(password):
    """The password as RFC 7292, appendix B.1 writes it: UTF-16 with two zero octets after it."""
    return password.encode("utf-16-be") + b"\x00\x00"


def derive(secret, salt, rounds, purpose, size):
    """RFC 7292, appendix B.2 with SHA-256; `secret` is a BMPString, or empty for no password at all."""
    block = 64

    def fill(value):
        return (value * (block // len(value) + 2))[: block * -(-len(value) // block)] if value else b""

    inner, out = fill(salt) + fill(secret), b""
    while len(out) < size:
        digest = hashlib.sha256(bytes([purpose]) * block + inner).digest()
        for _ in range(rounds - 1):
            digest = hashlib.sha256(digest).digest()
        out += digest
        assert len(out) >= size, "more than one block is not needed here"
    return out[:size]


def parts(pfx):
    """The version, the authSafe ContentInfo and the content under the MAC."""
    version, auth_safe, *_ = der.children(der.read(pfx)[1])
    content = der.children(der.children(auth_safe[1])[1][1])[0][1]
    return version[2], auth_safe[2], content


def mac_data(content, secret, rounds=2048, *, written=None):
    """MacData with HMAC-SHA-256; `written` puts another count of rounds in the file than was used."""
    digest = hmac.new(derive(secret, SALT, rounds, 3, 32), content, "sha256").digest()
    algorithm = der.seq(der.oid(SHA256), der.NULL)
    return der.seq(der.seq(algorithm, der.octets(digest)), der.octets(SALT), der.integer(written or rounds))


def with_mac(pfx, secret, rounds=2048, *, written=None):
    """The same file with its MAC made anew."""
    version, auth_safe, content = parts(pfx)
    return der.seq(version, auth_safe, mac_data(content, secret, rounds, written=written))


def pbkdf2(rounds, digest, size=None):
    prf = der.seq(der.oid(HMAC[digest]), der.NULL)
    length = b"" if size is None else der.integer(size)
    return der.seq(der.oid(PBKDF2), der.seq(der.octets(SALT), der.integer(rounds), length, prf))


def pbmac1(pfx, password, digest, *, iterations=WRITTEN_ONE):
    """The same file with a MAC of RFC 9579, which OpenSSL reads from 3.4 on.

    `iterations` is the field that PBMAC1 does not use; DER leaves it out, programs write 1.
    """
    version, auth_safe, content = parts(pfx)
    size = hashlib.new(digest).digest_size
    key = hashlib.pbkdf2_hmac(digest, password.encode(), SALT, 2048, size)
    scheme = der.seq(pbkdf2(2048, digest, size), der.seq(der.oid(HMAC[digest]), der.NULL))
    algorithm = der.seq(der.oid("1.2.840.113549.1.5.14"), scheme)
    info = der.seq(algorithm, der.octets(hmac.new(key, content, digest).digest()))
    return der.seq(version, auth_safe, der.seq(info, der.octets(b"NOT USED"), iterations))


def indefinite(pfx, *, depth=1):
    """The same file in BER: indefinite lengths, the content in pieces of 1000 octets.

    `depth` nests the pieces in so many constructed OCTET STRINGs.
    """
    version, auth_safe, mac = der.children(der.read(pfx)[1])
    kind, wrapped = der.children(auth_safe[1])
    content = der.children(wrapped[1])[0][1]
    pieces = b"".join(der.octets(content[at : at + 1000]) for at in range(0, len(content), 1000))
    for _ in range(depth):
        pieces = der.indefinite(0x24, pieces)
    info = der.indefinite(der.SEQUENCE, kind[2], der.indefinite(0xA0, pieces))
    return der.indefinite(der.SEQUENCE, version[2], info, mac[2])


def bag(number, value, *attributes):
    """A SafeBag: 1 key, 2 shrouded key, 3 certificate, 6 further SafeContents."""
    return der.seq(der.oid(f"{BAG}.{number}"), der.tlv(0xA0, value), der.set_of(*attributes) if attributes else b"")


def local_key(octet):
    """The attribute that ties a key to its certificate."""
    return der.seq(der.oid("1.2.840.113549.1.9.21"), der.set_of(der.octets(bytes([octet]))))


def certificate_bag(certificate, *attributes):
    inner = der.seq(der.oid("1.2.840.113549.1.9.22.1"), der.tlv(0xA0, der.octets(certificate)))
    return bag(3, inner, *attributes)


def shrouded_bag(key, password, *attributes, written=None):
    """A key under PBES2 with AES-256; `written` puts another count of rounds in the file than was used."""
    secret = hashlib.pbkdf2_hmac("sha256", password.encode(), SALT, 2048, 32)
    plain = pki.key_der(key)
    fill = 16 - len(plain) % 16
    cipher = Cipher(algorithms.AES(secret), modes.CBC(SALT)).encryptor()
    hidden = cipher.update(plain + bytes([fill]) * fill) + cipher.finalize()
    aes = der.seq(der.oid("2.16.840.1.101.3.4.1.42"), der.octets(SALT))
    scheme = der.seq(der.oid(PBES2), der.seq(pbkdf2(written or 2048, "sha256"), aes))
    return bag(2, der.seq(scheme, der.octets(hidden)), *attributes)


def scrypt_bag(key, password, *attributes):
    """A key under PBES2 with scrypt instead of PBKDF2, as OpenSSL writes it."""
    command = ["pkcs8", "-topk8", "-scrypt", "-outform", "DER", "-passout", f"pass:{password}", "-in"]
    make = functools.partial(pki.openssl, *command, pki.key_path(key))
    return bag(2, made_once(f"keys/{key}.scrypt.der", (pki.key_pem(key), command), make), *attributes)


def assemble(password, *bags):
    """A PFX of one readable SafeContents, under a MAC."""
    inside = der.seq(der.oid(DATA), der.tlv(0xA0, der.octets(der.seq(*bags))))
    content = der.seq(inside)
    auth_safe = der.seq(der.oid(DATA), der.tlv(0xA0, der.octets(content)))
    return der.seq(der.integer(3), auth_safe, mac_data(content, bmp(password)))
