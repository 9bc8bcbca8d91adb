"""The cases of time and of chains: PEM with certificate, chain and key, one fault each."""

from . import pki
from .case import faulty, with_leaf


def validity():
    def period(name, construct, faults, *valid):
        return with_leaf(name, construct, faults, valid=valid)

    yield period("valid-expired", "ended on 1 January 2027", ["expired"], "2026-10-03", "2027-01-01")
    yield period(
        "valid-expired-now",
        "ends in the very second of the check, which RFC 5280 includes and OpenSSL does not",
        ["ends-soon"],
        "2026-12-01",
        "2027-01-15T08:00:00",
    )
    yield period("valid-not-yet", "begins on 1 February 2027", ["not-yet-valid"], "2027-02-01", "2027-04-30")
    yield period(
        "valid-begins-in-hours",
        "begins in four hours: a clock or a time zone",
        ["not-yet-valid"],
        "2027-01-15T12:00:00",
        "2027-04-15",
    )
    yield period("valid-5-days", "ends in 5 days", ["ends-soon"], "2026-10-22", "2027-01-20T08:00:00")
    yield period("valid-20-days", "ends in 20 days", ["ends-soon"], "2026-11-06", "2027-02-04T08:00:00")
    yield period("valid-3-years", "valid for three years", ["valid-too-long"], "2026-12-01", "2029-12-01")
    yield period(
        "valid-250-days",
        "issued for 250 days in December 2026, more than a public authority may, and right for one's own",
        [],
        "2026-12-01",
        "2027-08-08",
    )
    yield period(
        "valid-199-days",
        "issued for 199 days in December 2026, within the limit of 200",
        [],
        "2026-12-01",
        "2027-06-18",
    )
    yield period(
        "valid-397-days-old",
        "issued for 397 days in February 2026, under the limit of that time",
        [],
        "2026-02-01",
        "2027-03-05",
    )
    ended = pki.authority(
        "issuing expired",
        pki.ISSUING_NAME,
        "issuing",
        pki.ROOT_NAME,
        "root",
        valid=("2020-01-01", "2026-12-31"),
        path_length=0,
    )
    yield faulty(
        "valid-intermediate-expired",
        "the intermediate ended on 31 December 2026",
        ["intermediate-expired"],
        pki.leaf(),
        ended,
    )
    yield faulty(
        "valid-intermediate-both",
        "the ended intermediate and the renewed one, same name and key",
        ["intermediate-expired", "extra-certificate"],
        pki.leaf(),
        ended,
        pki.ISSUING,
    )


def chains():
    leaf = pki.leaf()
    yield faulty(
        "chain-missing", "no intermediate; the certificate says where to fetch it", ["missing-intermediate"], leaf
    )
    hidden = pki.leaf("no address", drop=["address"])
    yield faulty(
        "chain-missing-no-address",
        "no intermediate, and no address of it",
        ["missing-intermediate", "missing-intermediate-unknown"],
        hidden,
    )
    yield faulty(
        "chain-hole",
        "the root, but not the intermediate between",
        ["missing-intermediate", "root-included"],
        leaf,
        pki.ROOT,
    )
    own = dict(
        issuer="wiki.example.com", issuer_key="p256", common_name="wiki.example.com", drop=["authority_key", "address"]
    )
    yield faulty("chain-self-signed", "signed with its own key", ["self-signed"], pki.leaf("self-signed", **own))
    yield faulty(
        "chain-self-signed-authority",
        "signed with its own key, CA:TRUE, as `openssl req -x509` makes it",
        ["self-signed", "authority-as-leaf", "no-extended-usage"],
        pki.leaf(
            "self-signed authority",
            **{**own, "drop": ["authority_key", "address", "usage", "extended"]},
            basic=pki.basic_constraints(True),
        ),
    )
    yield faulty(
        "chain-authority-as-leaf",
        "the intermediate and its own key, no certificate of a server",
        ["authority-as-leaf", "no-san", "host-not-covered"],
        pki.ISSUING,
        key="issuing",
    )
    private = pki.leaf("private", issuer="Unrelated Issuing CA", issuer_key="other-issuing")
    yield faulty(
        "chain-unknown-root",
        "a whole chain to a root that is not trusted",
        ["unknown-authority", "root-included"],
        private,
        pki.OTHER_ISSUING,
        pki.OTHER_ROOT,
    )
    yield faulty(
        "chain-unknown-root-absent",
        "a chain to a root that is not trusted, which is not in the file",
        ["unknown-authority"],
        private,
        pki.OTHER_ISSUING,
    )
    impostor = pki.authority("impostor", pki.ISSUING_NAME, "impostor", pki.ROOT_NAME, "root", path_length=0)
    yield faulty(
        "chain-same-name",
        "an intermediate of the same name with another key; the key identifier tells",
        ["issuer-key-differs", "missing-intermediate"],
        leaf,
        impostor,
    )
    silent = pki.leaf("no key identifier", drop=["authority_key"])
    yield faulty(
        "chain-same-name-no-id",
        "an intermediate of the same name with another key; only the signature tells",
        ["issuer-key-differs", "missing-intermediate"],
        silent,
        impostor,
    )
    yield faulty(
        "chain-same-name-both",
        "two intermediates of the same name, the wrong one first",
        ["extra-certificate"],
        leaf,
        impostor,
        pki.ISSUING,
    )
    crossed = pki.authority(
        "issuing crossed", pki.ISSUING_NAME, "issuing", "Unrelated Root CA", "other-root", path_length=0
    )
    yield faulty(
        "chain-crossed-after",
        "the intermediate, then the same one signed by another root",
        ["cross-signed"],
        leaf,
        pki.ISSUING,
        crossed,
    )
    yield faulty(
        "chain-crossed-before",
        "the intermediate signed by another root, then the one of our root",
        ["cross-signed", "crossed-order"],
        leaf,
        crossed,
        pki.ISSUING,
    )
    root_crossed = pki.authority(
        "root crossed", pki.ROOT_NAME, "root", "Unrelated Root CA", "other-root", valid=("2020-01-01", "2026-06-01")
    )
    yield faulty(
        "chain-crossed-root-expired",
        "our root signed by another one, ended: the trap of September 2021",
        ["intermediate-expired", "extra-certificate"],
        leaf,
        pki.ISSUING,
        root_crossed,
    )
    middle = pki.authority("middle", "Example Middle CA", "impostor", pki.ISSUING_NAME, "issuing")
    under = pki.leaf("under middle", issuer="Example Middle CA", issuer_key="impostor")
    yield faulty(
        "chain-path-length",
        "an authority below one that may have none below",
        ["path-length"],
        under,
        middle,
        pki.ISSUING,
    )
    no_authority = pki.leaf("leaf as issuer", "p256-b", names=["issuer.example.com"])
    below = pki.leaf("below leaf", issuer="issuer.example.com", issuer_key="p256-b")
    yield faulty(
        "chain-leaf-as-issuer",
        "signed by the certificate of another server",
        ["issuer-no-authority"],
        below,
        no_authority,
        pki.ISSUING,
    )
    for name, words, faults, limits in (
        ("permitted", "permits the names of the certificate", [], {"permitted": ["example.com"]}),
        ("not-permitted", "permits example.org only", ["name-constraints"], {"permitted": ["example.org"]}),
        ("excluded", "excludes apps.example.com", ["name-constraints"], {"excluded": ["apps.example.com"]}),
        ("ip", "permits example.com and addresses of 10.0.0.0/8", [], {"permitted": ["example.com", "net:10.0.0.0/8"]}),
    ):
        limited = pki.authority(
            f"limited {name}",
            "Example Limited CA",
            "impostor",
            pki.ROOT_NAME,
            "root",
            path_length=0,
            extra=[pki.name_constraints(**limits)],
        )
        server = pki.leaf(f"under limited {name}", issuer="Example Limited CA", issuer_key="impostor")
        yield faulty(f"chain-names-{name}", f"the intermediate {words}", faults, server, limited)
    client = pki.authority(
        "client only",
        "Example Client CA",
        "impostor",
        pki.ROOT_NAME,
        "root",
        path_length=0,
        extra=[pki.extended_key_usage(pki.CLIENT_AUTH)],
    )
    server = pki.leaf("under client only", issuer="Example Client CA", issuer_key="impostor")
    yield faulty(
        "chain-usage-client", "the intermediate may issue for clients only", ["usage-not-server"], server, client
    )


def all_cases():
    yield from validity()
    yield from chains()
