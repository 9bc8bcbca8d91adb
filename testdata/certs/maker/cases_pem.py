"""The cases of PEM files: the order of the blocks, and what programs do to their text."""

import base64

from . import der, pfx, pki
from .case import PASSWORD, Case, bundle, pem


def order():
    """The same blocks in other orders, and more or fewer of them."""
    leaf, right = pki.leaf(), bundle()
    yield Case("pem-right.pem", right, "certificate, intermediate and key in one file")
    yield Case("pem-right.pem", right, "the same, with a password that nothing needs", ["password-unneeded"], PASSWORD)
    yield Case(
        "pem-key-first.pem", pki.key_pem("p256") + pem(leaf, pki.ISSUING, key=None), "the key before the certificates"
    )
    yield Case(
        "pem-reversed.pem",
        pem(pki.ROOT, pki.ISSUING, leaf),
        "the chain from the root down",
        ["wrong-order", "root-included"],
    )
    yield Case("pem-root-included.pem", pem(leaf, pki.ISSUING, pki.ROOT), "the chain with its root", ["root-included"])
    yield Case(
        "pem-extra.pem",
        pem(leaf, pki.OTHER_ISSUING, pki.ISSUING),
        "an unrelated authority in the middle",
        ["extra-certificate"],
    )
    yield Case("pem-twice.pem", pem(leaf, leaf, pki.ISSUING), "the certificate twice", ["duplicate-certificate"])
    yield Case("pem-no-key.pem", pem(leaf, pki.ISSUING, key=None), "no key", ["no-key"])
    yield Case("pem-key-only.pem", pki.key_pem("p256"), "the key only", ["no-certificate"])
    yield Case(
        "pem-key-mismatch.pem",
        pem(leaf, pki.ISSUING, key="p256-b"),
        "the key belongs to another certificate",
        ["key-mismatch"],
    )
    yield Case(
        "pem-key-mismatch-kind.pem",
        pem(leaf, pki.ISSUING, key="rsa2048"),
        "an RSA key beside a certificate for P-256",
        ["key-mismatch"],
    )
    yield Case(
        "pem-two-keys.pem", bundle() + pki.key_pem("p256-b"), "two private keys, the first is right", ["several-keys"]
    )
    issuing_key = pem(leaf, pki.ISSUING, key="issuing")
    yield Case(
        "pem-issuer-key.pem",
        issuing_key,
        "the key of the intermediate in the place of the server's",
        ["key-mismatch"],
    )
    renewed = pki.leaf("renewed", valid=("2027-01-10", "2027-04-09"))
    yield Case(
        "pem-old-and-new.pem",
        pem(leaf, renewed, pki.ISSUING),
        "the old certificate and the renewed one, for the same key",
        ["several-leaves"],
    )


def text():
    """What editors, shells and consoles do to PEM."""
    leaf, right = pki.leaf(), bundle()
    lines = right.decode().splitlines()
    yield Case("pem-dos.pem", right.replace(b"\n", b"\r\n"), "DOS line ends")
    yield Case("pem-mac.pem", right.replace(b"\n", b"\r"), "line ends of old Macs", ["line-ends"])
    yield Case("pem-no-last-line-end.pem", right.rstrip(b"\n"), "no line end after the last line")
    yield Case(
        "pem-bag-attributes.pem", bag_attributes(), "with the Bag Attributes that `openssl pkcs12 -nodes` writes"
    )
    explained = pki.openssl("x509", "-text", stdin=pem(leaf, key=None)) + pem(pki.ISSUING)
    yield Case("pem-explained.pem", explained, "with the text of `openssl x509 -text` before the certificate")
    yield Case("pem-bom.pem", b"\xef\xbb\xbf" + right, "with a UTF-8 byte order mark", ["byte-order-mark"])
    yield Case(
        "pem-utf16.pem",
        b"\xff\xfe" + right.decode().replace("\n", "\r\n").encode("utf-16-le"),
        "UTF-16, as PowerShell writes with >",
        ["utf-16"],
    )
    yield Case(
        "pem-no-end.pem",
        right[: right.rindex(b"-----END")],
        "the END line of the key is missing",
        ["end-line-missing", "truncated"],
    )
    first_end = lines.index("-----END CERTIFICATE-----")
    without = "\n".join(lines[:first_end] + lines[first_end + 1 :]).encode() + b"\n"
    yield Case(
        "pem-no-end-inside.pem", without, "the END line of the first certificate is missing", ["end-line-missing"]
    )
    broken = right.decode().replace(lines[3], lines[3][:20] + "…" + lines[3][21:], 1).encode()
    yield Case("pem-base64-broken.pem", broken, "a character in the certificate that is not base64", ["base64-broken"])
    lost = right.decode().replace(lines[3] + "\n", "", 1).encode()
    yield Case(
        "pem-line-lost.pem",
        lost,
        "a line of the certificate is missing: base64 is right, the DER is not",
        ["truncated"],
    )
    labels = right.replace(b"-----END CERTIFICATE-----", b"-----END X509 CERTIFICATE-----", 1)
    yield Case("pem-labels-differ.pem", labels, "END names another thing than BEGIN", ["labels-differ"])
    yield Case(
        "pem-x509-label.pem", right.replace(b" CERTIFICATE-", b" X509 CERTIFICATE-"), "the old label X509 CERTIFICATE"
    )
    yield Case(
        "pem-spaces.pem",
        right.strip().replace(b"\n", b" "),
        "every line break became a space, as from a form in the browser",
        ["line-breaks-lost"],
    )
    yield Case(
        "pem-escaped.pem",
        right.replace(b"\n", b"\\n"),
        "line breaks as \\n, as in an environment variable or JSON",
        ["line-breaks-escaped"],
    )
    yield Case(
        "pem-indented.pem",
        "".join(f"    {line}\n" for line in lines).encode(),
        "indented, as from a YAML file",
        ["indented"],
    )
    yield Case(
        "pem-dashes.pem",
        right.decode().replace("-----", "—–—").encode(),
        "typographic dashes, as from a word processor",
        ["dashes-replaced"],
    )
    wide = der.pem("CERTIFICATE", leaf, width=4096) + pem(pki.ISSUING)
    yield Case("pem-one-long-line.pem", wide, "all base64 of the certificate in one line")
    yield Case(
        "pem-base64-again.pem",
        base64.b64encode(right),
        "the PEM file in base64 once more, as in a Kubernetes secret",
        ["base64-of-pem"],
    )
    yield Case(
        "pem-bare-base64.pem",
        base64.encodebytes(leaf),
        "base64 without BEGIN and END",
        ["base64-without-pem", "no-key"],
    )
    trusted = pki.openssl("x509", "-trustout", "-addtrust", "serverAuth", stdin=pem(leaf, key=None))
    yield Case(
        "pem-trusted.pem", trusted + pem(pki.ISSUING), "the certificate as TRUSTED CERTIFICATE", ["trusted-certificate"]
    )


def bag_attributes():
    """The output of `openssl pkcs12` for a file of the PFX cases."""
    pfx.export(
        "pfx-friendly-names.pfx", PASSWORD, "-name", "Wiki, Zertifikat für Zürich", "-caname", "Example Issuing CA"
    )
    source = pki.HERE / "files" / "pfx-friendly-names.pfx"
    return pki.openssl("pkcs12", "-in", source, "-nodes", "-passin", f"pass:{PASSWORD}")


def all_cases():
    yield from order()
    yield from text()
