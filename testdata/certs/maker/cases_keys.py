"""The cases of keys: their kinds, and the ways to write one."""

from cryptography.hazmat.primitives import serialization

from . import pfx, pki
from .case import PASSWORD, Case, pem


def keys():
    """The ways to write a key, and the kinds of keys."""

    def written(name, key, construct, faults=(), password=None, made=None):
        return Case(
            name,
            pem(pki.leaf(key=key), pki.ISSUING, key=None) + (made or pki.key_pem(key)),
            construct,
            list(faults),
            password,
        )

    def sealed(name, key, *command):
        """A key that OpenSSL encrypts with a random salt, kept beside the keys."""
        command = [*command, "-passout", f"pass:{PASSWORD}", "-in"]
        return pfx.made_once(
            f"keys/{name}", (pki.key_pem(key), command), lambda: pki.openssl(*command, pki.key_path(key))
        )

    modern = sealed("p256.pkcs8-encrypted.pem", "p256", "pkcs8", "-topk8", "-v2", "aes-256-cbc")
    yield written("key-encrypted.pem", "p256", "the key in encrypted PKCS#8", password=PASSWORD, made=modern)
    yield written(
        "key-encrypted.pem", "p256", "the key in encrypted PKCS#8, no password given", ["password-needed"], made=modern
    )
    yield written(
        "key-encrypted.pem",
        "p256",
        "the key in encrypted PKCS#8, another password",
        ["wrong-password"],
        "another",
        modern,
    )
    hard = sealed("p256.scrypt.pem", "p256", "pkcs8", "-topk8", "-scrypt")
    yield written(
        "key-scrypt.pem", "p256", "the key in PKCS#8, encrypted with scrypt", ["unsupported-encryption"], PASSWORD, hard
    )
    old = sealed("rsa2048.dek-info.pem", "rsa2048", "rsa", "-traditional", "-aes256")
    yield written(
        "key-dek-info.pem",
        "rsa2048",
        "the key encrypted in the old way of OpenSSL (DEK-Info)",
        ["old-key-encryption"],
        PASSWORD,
        old,
    )
    yield written(
        "key-dek-info.pem",
        "rsa2048",
        "the key encrypted in the old way of OpenSSL, no password given",
        ["old-key-encryption", "password-needed"],
        made=old,
    )
    parameters = pki.openssl("ecparam", "-name", "prime256v1") + pki.openssl("ec", "-in", pki.key_path("p256"))
    yield written("key-ec-parameters.pem", "p256", "EC PARAMETERS before EC PRIVATE KEY", made=parameters)
    explicit = pki.openssl("pkey", "-in", pki.key_path("p256"), "-ec_param_enc", "explicit")
    yield written(
        "key-ec-explicit.pem", "p256", "the curve as numbers instead of its name", [], made=explicit
    )
    yield written(
        "key-pkcs1.pem",
        "rsa2048",
        "RSA PRIVATE KEY (PKCS#1)",
        made=pki.openssl("rsa", "-in", pki.key_path("rsa2048"), "-traditional"),
    )
    yield written("key-p384.pem", "p384", "P-384")
    yield written("key-p521.pem", "p521", "P-521", ["uncommon-key"])
    yield written("key-rsa4096.pem", "rsa4096", "RSA with 4096 bits: right, and slow")
    yield written("key-rsa1024.pem", "rsa1024", "RSA with 1024 bits", ["weak-key"])
    yield written("key-rsa-pss.pem", "rsa-pss", "an RSA key for PSS only", ["unsupported-key"])
    yield written("key-ed25519.pem", "ed25519", "Ed25519", ["uncommon-key"])
    yield written("key-ed448.pem", "ed448", "Ed448", ["unsupported-key"])
    yield written("key-secp256k1.pem", "secp256k1", "the curve of Bitcoin", ["unsupported-key"])
    yield written("key-brainpool.pem", "brainpool", "a Brainpool curve", ["unsupported-key"])
    yield written("key-dsa.pem", "dsa", "DSA", ["unsupported-key"])
    public = pki.openssl("pkey", "-in", pki.key_path("p256"), "-pubout")
    yield written(
        "key-public.pem",
        "p256",
        "the public key in the place of the private one",
        ["public-key-only", "no-key"],
        made=public,
    )
    yield Case(
        "key-public-only.pem", public, "a public key and nothing else", ["public-key-only", "no-key", "no-certificate"]
    )
    ssh = pfx.made_once(
        "keys/p256.openssh.pem",
        pki.key_pem("p256"),
        lambda: pki.key_of("p256").private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
        ),
    )
    yield written("key-openssh.pem", "p256", "the key in the form of OpenSSH", ["ssh-key"], made=ssh)


def all_cases():
    yield from keys()
