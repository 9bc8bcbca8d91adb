"""The cases of PFX files that are right, or hold the wrong things."""

from . import pfx, pki
from .case import PASSWORD, UMLAUT, Case

LEGACY = "-legacy"


def pbe(*, key, certificates, mac="sha1"):
    return LEGACY, "-keypbe", key, "-certpbe", certificates, "-macalg", mac


def case(file, data, construct, faults=(), password=PASSWORD, **more):
    return Case(file, data, construct, list(faults), password, form="pfx", **more)


def encryption():
    """One file for each way to encrypt and to authenticate."""

    def old(name, scheme, certificates=None):
        options = pbe(key=f"PBE-SHA1-{scheme}", certificates=f"PBE-SHA1-{certificates or scheme}")
        return pfx.export(f"pfx-{name}.pfx", PASSWORD, *options)

    modern = pfx.export("pfx-modern.pfx", PASSWORD)
    yield case("pfx-modern.pfx", modern, "PBES2 with AES-256, MAC with SHA-256: what OpenSSL 3 writes")
    data = pfx.export(
        "pfx-aes128-sha512.pfx", PASSWORD, "-keypbe", "AES-128-CBC", "-certpbe", "AES-128-CBC", "-macalg", "sha512"
    )
    yield case("pfx-aes128-sha512.pfx", data, "PBES2 with AES-128, MAC with SHA-512")
    data = pfx.export(
        "pfx-aes192-sha384.pfx", PASSWORD, "-keypbe", "AES-192-CBC", "-certpbe", "AES-192-CBC", "-macalg", "sha384"
    )
    yield case("pfx-aes192-sha384.pfx", data, "PBES2 with AES-192, MAC with SHA-384")
    data = pfx.export(
        "pfx-pbes2-3des.pfx", PASSWORD, *pbe(key="DES-EDE3-CBC", certificates="DES-EDE3-CBC", mac="sha256")
    )
    yield case("pfx-pbes2-3des.pfx", data, "PBES2 with 3DES", ["old-encryption"])
    legacy = pfx.export("pfx-legacy.pfx", PASSWORD, LEGACY)
    yield case(
        "pfx-legacy.pfx",
        legacy,
        "RC2-40 for the certificates, 3DES for the key: what Windows wrote for years",
        ["old-encryption"],
    )
    yield case("pfx-3des.pfx", old("3des", "3DES"), "3DES for both", ["old-encryption"])
    yield case("pfx-rc2-128.pfx", old("rc2-128", "RC2-128"), "RC2 with 128 bits for both", ["old-encryption"])
    yield case("pfx-2des.pfx", old("2des", "2DES"), "3DES with two keys for both", ["old-encryption"])
    for size in ("128", "40"):
        name = f"rc4-{size}"
        yield case(
            f"pfx-{name}.pfx",
            old(name, f"RC4-{size}"),
            f"RC4 with {size} bits for both",
            ["old-encryption"],
        )
    data = pfx.assemble(
        PASSWORD, pfx.scrypt_bag("p256", PASSWORD), *map(pfx.certificate_bag, (pki.leaf(), pki.ISSUING))
    )
    yield case("pfx-scrypt.pfx", data, "the key under scrypt", ["unsupported-encryption"])
    data = pfx.pbmac1(modern, PASSWORD, "sha256")
    yield case(
        "pfx-pbmac1-sha256.pfx",
        data,
        "PBMAC1 with SHA-256 (RFC 9579), its unused iterations written out",
        by="cryptography",
    )
    data = pfx.pbmac1(modern, PASSWORD, "sha512", iterations=b"")
    yield case(
        "pfx-pbmac1-sha512.pfx",
        data,
        "PBMAC1 with SHA-512 (RFC 9579), its unused iterations left out",
        by="cryptography",
    )
    umlaut = pfx.export("pfx-umlaut.pfx", UMLAUT)
    yield case(
        "pfx-pbmac1-umlaut.pfx",
        pfx.pbmac1(umlaut, UMLAUT, "sha256"),
        "PBMAC1 with a password that is not ASCII",
        ["password-characters"],
        UMLAUT,
        by="cryptography",
    )
    yield case(
        "pfx-ber-modern.pfx",
        pfx.indefinite(modern),
        "BER with indefinite lengths around AES-256, as Firefox writes",
        ["ber"],
    )
    yield case(
        "pfx-ber-legacy.pfx",
        pfx.indefinite(legacy),
        "BER with indefinite lengths around RC2-40 and 3DES",
        ["ber", "old-encryption"],
    )
    data = pfx.export("pfx-no-mac.pfx", PASSWORD, "-nomac")
    yield case("pfx-no-mac.pfx", data, "encrypted, without a MAC", ["no-mac"])
    yield case(
        "pfx-no-mac.pfx",
        data,
        "encrypted, without a MAC, and another password",
        ["wrong-password"],
        "another",
    )
    plain = pfx.export("pfx-key-unencrypted.pfx", PASSWORD, "-keypbe", "NONE", "-certpbe", "NONE")
    yield case("pfx-key-unencrypted.pfx", plain, "nothing encrypted, under a MAC", ["key-unencrypted"])
    data = pfx.export("pfx-certificates-readable.pfx", PASSWORD, "-certpbe", "NONE")
    yield case("pfx-certificates-readable.pfx", data, "the key encrypted, the certificates not")


def contents():
    """What is, and what is not, inside."""
    yield case("pfx-no-key.pfx", pfx.export("pfx-no-key.pfx", PASSWORD, key=None), "certificates only", ["no-key"])
    yield case(
        "pfx-key-only.pfx",
        pfx.export("pfx-key-only.pfx", PASSWORD, certificates=[]),
        "the key only",
        ["no-certificate"],
    )
    one, two = pfx.local_key(1), pfx.local_key(2)
    second = pki.leaf("shop", "p256-b", names=["shop.example.com"])
    bags = [
        pfx.shrouded_bag("p256", PASSWORD, one),
        pfx.shrouded_bag("p256-b", PASSWORD, two),
        pfx.certificate_bag(pki.leaf(), one),
        pfx.certificate_bag(second, two),
        pfx.certificate_bag(pki.ISSUING),
    ]
    yield case(
        "pfx-two-pairs.pfx",
        pfx.assemble(PASSWORD, *bags),
        "two keys and two certificates, tied by localKeyId",
        ["several-keys", "several-leaves"],
        hosts=["wiki.example.com", "shop.example.com"],
    )
    bags = [pfx.certificate_bag(pki.ISSUING), pfx.certificate_bag(pki.leaf()), pfx.shrouded_bag("p256", PASSWORD)]
    yield case(
        "pfx-no-local-key-id.pfx",
        pfx.assemble(PASSWORD, *bags),
        "no localKeyId: only the public key says which certificate is the server's",
        [],
    )
    data = pfx.export(
        "pfx-friendly-names.pfx", PASSWORD, "-name", "Wiki, Zertifikat für Zürich", "-caname", "Example Issuing CA"
    )
    yield case("pfx-friendly-names.pfx", data, "friendly names, one of them not ASCII")
    ksp = ("-CSP", "Microsoft Software Key Storage Provider")
    yield case(
        "pfx-ksp-rsa.pfx",
        pfx.export("pfx-ksp-rsa.pfx", PASSWORD, *ksp, key="rsa2048"),
        "an RSA key with the name of Microsoft's Software KSP",
    )
    yield case(
        "pfx-ksp-ec.pfx",
        pfx.export("pfx-ksp-ec.pfx", PASSWORD, *ksp),
        "a P-256 key with the name of Microsoft's Software KSP",
        ["software-ksp-ec"],
    )
    csp = ("-CSP", "Microsoft Enhanced RSA and AES Cryptographic Provider", "-LMK")
    yield case(
        "pfx-csp-machine.pfx",
        pfx.export("pfx-csp-machine.pfx", PASSWORD, *csp, key="rsa2048"),
        "the name of an old CSP, and the LocalMachine flag",
    )
    bags = [pfx.shrouded_bag("p256-b", PASSWORD), pfx.certificate_bag(pki.leaf()), pfx.certificate_bag(pki.ISSUING)]
    yield case(
        "pfx-key-of-another.pfx",
        pfx.assemble(PASSWORD, *bags),
        "the key belongs to another certificate",
        ["key-mismatch"],
    )

    def with_certificates(name, construct, faults, *certificates):
        return case(name, pfx.export(name, PASSWORD, certificates=list(certificates)), construct, faults)

    leaf, stranger = pki.leaf(), pki.OTHER_ISSUING
    yield with_certificates(
        "pfx-no-intermediate.pfx", "the certificate without the intermediate", ["missing-intermediate"], leaf
    )
    yield with_certificates(
        "pfx-root-included.pfx", "the chain with its root", ["root-included"], leaf, pki.ISSUING, pki.ROOT
    )
    yield with_certificates(
        "pfx-wrong-order.pfx",
        "the root before the intermediate",
        ["root-included"],
        leaf,
        pki.ROOT,
        pki.ISSUING,
    )
    yield with_certificates(
        "pfx-extra.pfx",
        "a certificate of an unrelated authority beside the chain",
        ["extra-certificate"],
        leaf,
        pki.ISSUING,
        stranger,
    )


def all_cases():
    yield from encryption()
    yield from contents()
