"""The cases of revoked certificates: PEM with certificate, chain and key, and lists that are tried with it."""

from . import der, pki
from .case import Case, pem

LIST_URL = "http://pki.example.com/issuing.crl"


def case(name, construct, faults, lists, *, extra=(), issuers=(pki.ISSUING,)):
    """A certificate that is right but for what lists say of it. Lists in a dictionary have names of their own."""
    named = lists if isinstance(lists, dict) else {f"{name}.crl": lists}
    data = pem(pki.leaf(name, extra=list(extra)), *issuers)
    return Case(f"{name}.pem", data, construct, list(faults), lists=named)


def found_or_not():
    name = "revoked-key"
    yield case(
        name,
        "the list has the certificate: its key is in other hands",
        ["revoked"],
        pki.revocation_list([("shop", None), (name, "keyCompromise")]),
    )
    name = "revoked-hold"
    yield case(name, "the certificate is on hold", ["revoked"], pki.revocation_list([(name, "certificateHold")]))
    name = "revoked-no-reason"
    data = der.pem("X509 CRL", pki.revocation_list([(name, None)]))
    yield case(name, "a list in PEM has the certificate and no reason", ["revoked"], data)
    yield case(
        "revoked-not",
        "the list has other certificates alone",
        [],
        pki.revocation_list([("shop", None), ("forum", "superseded")]),
    )
    yield case("revoked-nobody", "the list has nobody", [], pki.revocation_list())
    of_root = pki.revocation_list([("issuing", "superseded")], issuer=pki.ROOT_NAME, key="root")
    yield case(
        "revoked-issuer",
        "the root has revoked the intermediate",
        ["revoked"],
        {"revoked-issuer.crl": pki.revocation_list(), "revoked-issuer-root.crl": of_root},
    )
    both = der.pem("X509 CRL", pki.revocation_list())
    both += der.pem("X509 CRL", pki.revocation_list(issuer=pki.ROOT_NAME, key="root"))
    yield case("revoked-two-lists", "the lists of both authorities in one file, and nobody on them", [], both)


def lists_that_do_not_count():
    name = "revoked-list-expired"
    ended = ("2027-01-01", "2027-01-08")
    yield case(
        name,
        "an ended list has the certificate: what is revoked stays so",
        ["revoked", "list-expired"],
        pki.revocation_list([(name, None)], valid=ended),
    )
    yield case(
        "revoked-not-list-expired",
        "an ended list does not have the certificate, and a later one may",
        ["list-expired"],
        pki.revocation_list(valid=ended),
    )
    yield case(
        "revoked-list-ends-now",
        "the list ends in the very second of the check",
        ["list-expired"],
        pki.revocation_list(valid=("2027-01-08", "2027-01-15T08:00:00")),
    )
    yield case(
        "revoked-list-not-yet",
        "the list begins tomorrow",
        ["list-not-yet-valid"],
        pki.revocation_list(valid=("2027-01-16", "2027-01-23")),
    )
    name = "revoked-list-other"
    yield case(
        name,
        "the list of an authority that has nothing to do with it, with the same serial number",
        ["list-other-issuer"],
        pki.revocation_list([(name, None)], issuer="Unrelated Issuing CA", key="other-issuing"),
    )
    name = "revoked-list-forged"
    yield case(
        name,
        "the list has the certificate, and an authority of the same name with another key has signed it",
        ["list-signature"],
        pki.revocation_list([(name, "keyCompromise")], key="impostor"),
    )
    name = "revoked-list-altered"
    whole = bytearray(pki.revocation_list([(name, "keyCompromise")]))
    whole[-1] ^= 1
    yield case(name, "one bit of the list's signature turned", ["list-signature"], bytes(whole))


    name = "revoked-list-sha1"
    yield case(
        name,
        "the list has the certificate, and is signed with SHA-1",
        ["list-signature"],
        pki.revocation_list([(name, None)], digest="sha1"),
    )
    name = "revoked-list-no-issuer"
    yield case(
        name,
        "the list has the certificate, and its issuer is not in the file",
        ["list-signature", "missing-intermediate"],
        pki.revocation_list([(name, None)]),
        issuers=(),
    )
    name = "revoked-list-no-usage"
    silent = pki.authority(
        "issuing without lists", pki.ISSUING_NAME, "issuing", pki.ROOT_NAME, "root", path_length=0, usage=(5,)
    )
    yield case(
        name,
        "the list has the certificate, and its issuer may not sign lists",
        ["list-signature"],
        pki.revocation_list([(name, None)]),
        issuers=(silent,),
    )


def kinds():
    name = "revoked-part-right"
    yield case(
        name,
        "the part of the list that the certificate names, with the certificate on it",
        ["revoked"],
        pki.revocation_list([(name, "superseded")], extra=[pki.list_scope(LIST_URL, servers=True)]),
        extra=[pki.list_address(LIST_URL)],
    )
    yield case(
        "revoked-part-other",
        "another part of the list than the one that the certificate names",
        ["list-partial"],
        pki.revocation_list(extra=[pki.list_scope("http://pki.example.com/issuing-2.crl", servers=True)]),
        extra=[pki.list_address(LIST_URL)],
    )
    yield case(
        "revoked-part-authorities",
        "the part of the list that is about authorities",
        ["list-partial"],
        pki.revocation_list(extra=[pki.list_scope(LIST_URL, authorities=True)]),
        extra=[pki.list_address(LIST_URL)],
    )
    name = "revoked-delta"
    yield case(
        name,
        "a list of what changed since another",
        ["list-unreadable"],
        pki.revocation_list([(name, None)], extra=[pki.delta_of(6)]),
    )
    name = "revoked-version-1"
    yield case(
        name, "a list of version 1", ["list-unreadable"], pki.revocation_list([(name, None)], version=1)
    )
    whole = pki.revocation_list([("shop", None)])
    yield case("revoked-list-cut", "the end of the list is missing", ["list-unreadable"], whole[:-40])
    yield case(
        "revoked-list-none", "the issuer's certificate in place of its list", ["list-unreadable"], pki.pem_certificates(pki.ISSUING)
    )


def all_cases():
    yield from found_or_not()
    yield from lists_that_do_not_count()
    yield from kinds()
