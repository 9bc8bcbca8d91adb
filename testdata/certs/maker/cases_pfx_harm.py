"""The cases of PFX files with a difficult password, and of damaged and hostile ones."""

import unicodedata

from . import der, pfx, pki
from .case import EMOJI, PASSWORD, SPECIAL, UMLAUT
from .cases_pfx import LEGACY, case


def misread(text):
    """The password as a tool sees it that takes each octet of UTF-8 for a character."""
    return text.encode().decode("latin-1")


def passwords():
    """The ways a password goes wrong."""
    modern = pfx.export("pfx-modern.pfx", PASSWORD)
    for password, construct, faults in (
        ("secret123", "another password (its first letter is small)", ["wrong-password"]),
        (PASSWORD + "\r\n", "the password pasted with a DOS line end", ["password-line-end"]),
        (PASSWORD + "\n", "the password pasted with a line end", ["password-line-end"]),
        (f'"{PASSWORD}"', "the password pasted in double quotes", ["password-quotes"]),
        (f"'{PASSWORD}'", "the password pasted in single quotes", ["password-quotes"]),
        (None, "no password given", ["password-needed"]),
    ):
        yield case("pfx-modern.pfx", modern, construct, faults, password)
    characters = ["password-characters"]
    for name, password, words in (
        ("umlaut", UMLAUT, "umlauts and a euro sign"),
        ("emoji", EMOJI, "an emoji, two units of UTF-16"),
    ):
        yield case(
            f"pfx-{name}.pfx",
            pfx.export(f"pfx-{name}.pfx", password),
            f"AES-256, the password with {words}",
            characters,
            password,
        )
        yield case(
            f"pfx-{name}-legacy.pfx",
            pfx.export(f"pfx-{name}-legacy.pfx", password, LEGACY),
            f"RC2-40 and 3DES, the password with {words}",
            [*characters, "old-encryption"],
            password,
        )
    yield case(
        "pfx-special.pfx",
        pfx.export("pfx-special.pfx", SPECIAL),
        "a password of characters that shells take for their own",
        characters,
        SPECIAL,
    )
    data = pfx.export("pfx-misread-legacy.pfx", misread(UMLAUT), LEGACY)
    misread_faults = ["password-misread", "password-characters"]
    yield case(
        "pfx-misread-legacy.pfx",
        data,
        "3DES: the tool took each octet of the UTF-8 password for a character, as OpenSSL before 1.1 did",
        [*misread_faults, "old-encryption"],
        UMLAUT,
    )
    umlaut = pfx.export("pfx-umlaut.pfx", UMLAUT)
    decomposed = unicodedata.normalize("NFD", UMLAUT)
    yield case(
        "pfx-umlaut.pfx",
        umlaut,
        "the umlauts given as letters with marks after them (NFD), as macOS does",
        ["password-misread", "password-characters"],
        decomposed,
    )
    yield case(
        "pfx-decomposed.pfx",
        pfx.export("pfx-decomposed.pfx", decomposed),
        "AES-256, the umlauts as letters with marks after them (NFD), and given as one character each (NFC)",
        ["password-misread", "password-characters"],
        UMLAUT,
    )
    yield case(
        "pfx-decomposed-legacy.pfx",
        pfx.export("pfx-decomposed-legacy.pfx", decomposed, LEGACY),
        "RC2-40 and 3DES, the umlauts as letters with marks after them (NFD), and given as one character each (NFC)",
        ["password-misread", "password-characters", "old-encryption"],
        UMLAUT,
    )
    data = pfx.with_mac(umlaut, pfx.bmp(misread(UMLAUT)))
    yield case(
        "pfx-misread-mac.pfx",
        data,
        "AES-256: the password misread for the MAC, and right for the encryption, as OpenSSL 1.0 did",
        misread_faults,
        UMLAUT,
    )
    data = pfx.export("pfx-latin1.pfx", "pässwörd".encode("latin-1"))
    yield case(
        "pfx-latin1.pfx",
        data,
        "AES-256 with the octets of a Latin-1 terminal: the MAC is right, the encryption is not of the UTF-8 password",
        misread_faults,
        "pässwörd",
    )
    yield case(
        "pfx-empty.pfx", pfx.export("pfx-empty.pfx", ""), "AES-256 with the empty password", ["password-empty"], ""
    )
    empty = pfx.export("pfx-empty.pfx", "")
    yield case("pfx-empty.pfx", empty, "AES-256 with the empty password, none given", ["password-empty"], None)
    yield case(
        "pfx-empty-legacy.pfx",
        pfx.export("pfx-empty-legacy.pfx", "", LEGACY),
        "RC2-40 and 3DES with the empty password",
        ["password-empty", "old-encryption"],
        "",
    )
    yield case(
        "pfx-null.pfx",
        pfx.with_mac(empty, b""),
        "AES-256, the MAC with no password instead of the empty one",
        ["password-null"],
        "",
    )
    yield case(
        "pfx-null.pfx",
        pfx.with_mac(empty, b""),
        "AES-256, the MAC with no password, none given",
        ["password-null"],
        None,
    )


def damage():
    """Files cut, changed, or made to do harm."""
    modern = pfx.export("pfx-modern.pfx", PASSWORD)
    yield case("pfx-truncated.pfx", modern[: len(modern) * 2 // 3], "the last third is missing", ["truncated"])
    yield case("pfx-truncated-mac.pfx", modern[:-1], "the last octet is missing", ["truncated"])
    flipped = bytearray(modern)
    flipped[len(modern) // 2] ^= 0x01
    yield case(
        "pfx-flipped.pfx", bytes(flipped), "one bit turned in what the MAC covers", ["wrong-password-or-damaged"]
    )
    yield case(
        "pfx-trailing.pfx", modern + b"\r\n--boundary--\r\n", "octets of a mail after the end", ["trailing-octets"]
    )
    secret = pfx.bmp(PASSWORD)
    for rounds in (50_000_000, 5_000_000_000):
        data = pfx.with_mac(modern, secret, written=rounds)
        yield case(f"pfx-mac-rounds-{rounds}.pfx", data, f"the MAC claims {rounds} iterations", ["too-many-iterations"])
    key = pfx.shrouded_bag("p256", PASSWORD, pfx.local_key(1), written=5_000_000_000)
    data = pfx.assemble(
        PASSWORD, key, pfx.certificate_bag(pki.leaf(), pfx.local_key(1)), pfx.certificate_bag(pki.ISSUING)
    )
    yield case(
        "pfx-key-rounds-5000000000.pfx",
        data,
        "a right MAC; the key claims 5000000000 iterations of PBKDF2",
        ["too-many-iterations"],
    )
    data = pfx.export("pfx-rounds-600000.pfx", PASSWORD, "-iter", "600000")
    yield case("pfx-rounds-600000.pfx", data, "600000 iterations, as today's advice has it: slow, and right")
    yield case(
        "pfx-deep-octets.pfx",
        pfx.indefinite(modern, depth=100),
        "the content in OCTET STRINGs nested 100 deep",
        ["too-deep", "ber"],
    )
    nested = pfx.certificate_bag(pki.leaf())
    for _ in range(100):
        nested = pfx.bag(6, der.seq(nested))
    yield case(
        "pfx-deep-bags.pfx",
        pfx.assemble(PASSWORD, nested),
        "SafeContents in SafeContents, 100 deep",
        ["too-deep", "no-key"],
    )
    yield case("pfx-named-pem.pem", modern, "a PFX with the name of a PEM file", extension_lies=True)


def all_cases():
    yield from passwords()
    yield from damage()
