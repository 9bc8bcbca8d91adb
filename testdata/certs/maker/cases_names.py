"""The cases of names, extensions and other parts of a certificate: one fault each."""

from . import der, pki
from .case import faulty, with_leaf

APPS = ["wiki.example.com", "crm.apps.example.com"]


def names():
    """What is in the subject alternative names, and which hosts they cover."""
    uncovered = ["host-not-covered"]
    yield with_leaf("name-covered", "a name and a wildcard, both asked for", [], hosts=APPS)
    yield with_leaf(
        "name-not-covered", "another name asked for", uncovered, hosts=["wiki.example.com", "shop.example.com"]
    )
    yield with_leaf("name-upper-case", "the name asked for in capitals", [], hosts=["WIKI.Example.COM"])
    yield with_leaf(
        "name-none", "no subject alternative names: the common name only", ["no-san", *uncovered], drop=["names"]
    )
    yield with_leaf(
        "name-empty",
        "the extension without a name in it",
        ["san-empty", *uncovered],
        names=[],
        common_name="wiki.example.com",
    )
    yield with_leaf(
        "name-empty-text",
        "a DNS name of no characters",
        ["san-empty", *uncovered],
        names=[""],
        common_name="wiki.example.com",
    )
    yield with_leaf(
        "name-email",
        "an address of mail only",
        ["san-no-dns", *uncovered],
        names=["email:admin@example.com"],
        common_name="wiki.example.com",
    )
    yield with_leaf(
        "name-common-name-differs",
        "the common name is asked for, the alternative names are others",
        uncovered,
        names=["shop.example.com"],
        common_name="wiki.example.com",
    )
    yield with_leaf("name-no-common-name", "no common name: right, the alternative names count", [], common_name="")
    yield with_leaf(
        "name-ip",
        "an address of IPv4 and one of IPv6",
        [],
        names=["ip:10.1.2.3", "ip:2001:db8::1"],
        common_name="10.1.2.3",
        hosts=["10.1.2.3", "2001:db8::1"],
    )
    yield with_leaf(
        "name-ip-as-dns", "an address written as a DNS name", uncovered, names=["10.1.2.3"], hosts=["10.1.2.3"]
    )
    yield with_leaf(
        "name-url",
        "a URL in the place of a name",
        uncovered,
        names=["https://wiki.example.com/"],
        common_name="wiki.example.com",
    )
    yield with_leaf(
        "name-port", "a name with a port", uncovered, names=["wiki.example.com:443"], common_name="wiki.example.com"
    )
    yield with_leaf(
        "name-idn",
        "an international name in its xn-- form",
        [],
        names=["xn--bcher-kva.example.com"],
        hosts=["xn--bcher-kva.example.com"],
    )
    yield with_leaf(
        "name-idn-raw",
        "an international name in UTF-8",
        ["san-not-ascii", *uncovered],
        names=["bücher.example.com"],
        hosts=["xn--bcher-kva.example.com"],
    )
    yield with_leaf(
        "name-underscore",
        "a name with an underscore",
        ["san-underscore"],
        names=["my_wiki.example.com"],
        hosts=["my_wiki.example.com"],
    )
    yield with_leaf(
        "name-trailing-dot",
        "a name with a dot at its end",
        ["san-trailing-dot", *uncovered],
        names=["wiki.example.com."],
    )
    yield with_leaf("name-one-label", "a name of one label", [], names=["wiki"], hosts=["wiki"])
    yield with_leaf(
        "name-hundred",
        "a hundred names, the last is asked for",
        [],
        names=[f"app{number}.example.com" for number in range(100)],
        hosts=["app99.example.com"],
    )
    yield with_leaf(
        "wildcard-two-labels",
        "two labels asked for under a wildcard",
        ["wildcard-depth", *uncovered],
        names=["*.example.com"],
        hosts=["crm.apps.example.com"],
    )
    yield with_leaf(
        "wildcard-apex",
        "the name itself asked for that the wildcard stands under",
        ["wildcard-apex", *uncovered],
        names=["*.example.com"],
        hosts=["example.com"],
    )
    yield with_leaf(
        "wildcard-second-label",
        "a wildcard as second label",
        ["wildcard-place", *uncovered],
        names=["wiki.*.example.com"],
        hosts=["wiki.apps.example.com"],
    )
    yield with_leaf(
        "wildcard-double",
        "two wildcards",
        ["wildcard-place", *uncovered],
        names=["*.*.example.com"],
        hosts=["crm.apps.example.com"],
    )
    yield with_leaf(
        "wildcard-partial",
        "a wildcard beside other characters",
        ["wildcard-partial", *uncovered],
        names=["w*.example.com"],
    )
    yield with_leaf(
        "wildcard-com",
        "a wildcard over .com",
        ["wildcard-public-suffix", *uncovered],
        names=["*.com"],
        hosts=["example.com"],
    )
    yield with_leaf(
        "wildcard-co-uk",
        "a wildcard over .co.uk",
        ["wildcard-public-suffix"],
        names=["*.co.uk"],
        hosts=["example.co.uk"],
    )
    yield with_leaf("wildcard-alone", "a wildcard for everything", ["wildcard-public-suffix", *uncovered], names=["*"])


def extensions():
    yield with_leaf("usage-none", "no extended key usage", ["no-extended-usage"], drop=["extended"])
    yield with_leaf(
        "usage-client",
        "extended key usage for clients only",
        ["usage-not-server"],
        extended=pki.extended_key_usage(pki.CLIENT_AUTH),
    )
    yield with_leaf(
        "usage-both",
        "extended key usage for servers and clients",
        [],
        extended=pki.extended_key_usage(pki.SERVER_AUTH, pki.CLIENT_AUTH),
    )
    yield with_leaf(
        "usage-any",
        "extended key usage for anything",
        ["usage-not-server"],
        extended=pki.extended_key_usage(pki.ANY_USAGE),
    )
    yield with_leaf(
        "usage-encipherment",
        "an RSA key for keyEncipherment only",
        ["key-usage"],
        key="rsa2048",
        usage=pki.key_usage(2),
    )
    yield with_leaf("usage-agreement", "a P-256 key for keyAgreement only", ["key-usage"], usage=pki.key_usage(4))
    yield with_leaf("usage-absent", "no key usage at all: everything allowed", [], drop=["usage"])
    yield with_leaf("basic-absent", "no basic constraints: right for a server", [], drop=["basic"])
    unknown = pki.extension("1.3.6.1.4.1.99999.1", der.octets(b"?"), critical=True)
    yield with_leaf("critical-unknown", "a critical extension that nobody knows", ["unknown-critical"], extra=[unknown])
    yield with_leaf(
        "critical-not-unknown",
        "an unknown extension that is not critical",
        [],
        extra=[pki.extension("1.3.6.1.4.1.99999.1", der.octets(b"?"))],
    )
    staple = pki.extension("1.3.6.1.5.5.7.1.24", der.seq(der.integer(5)))
    yield with_leaf(
        "must-staple", "the certificate demands an OCSP response (TLS feature)", ["must-staple"], extra=[staple]
    )
    yield with_leaf(
        "twice-names",
        "the alternative names twice",
        ["extension-twice"],
        extra=[pki.alternative_names("shop.example.com")],
        hosts=["shop.example.com"],
    )
    yield with_leaf("serial-negative", "a negative serial number", ["serial-not-positive"], serial=-5)
    yield with_leaf("serial-zero", "the serial number 0", ["serial-not-positive"], serial=0)
    yield with_leaf("version-1", "version 1, no extensions", ["version-1", "no-san", "host-not-covered"], version=1)
    yield with_leaf("signed-sha1", "signed with SHA-1", ["weak-signature"], digest="sha1")
    yield with_leaf("signed-md5", "signed with MD5", ["weak-signature"], digest="md5")
    damaged = bytearray(pki.leaf("damaged"))
    damaged[-1] ^= 0x01
    yield faulty("signature-wrong", "one bit of the signature turned", ["signature-wrong"], bytes(damaged), pki.ISSUING)


def all_cases():
    yield from names()
    yield from extensions()
