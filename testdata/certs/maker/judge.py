"""What OpenSSL says about a file: asked, never assumed."""

import os
import re
import subprocess
import tempfile
import warnings

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, pkcs12

NOW = 1_800_000_000
BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----\n.*?-----END \1-----\n", re.S)
# How long OpenSSL gets (seconds); a file that takes longer counts as not opened. Those that
# claim too many iterations get little, so that the verdict is the same on every machine.
PATIENCE, LITTLE_PATIENCE = 60, 3
ENVIRONMENT = {**os.environ, "LC_ALL": "C.UTF-8"}


def run(*arguments, patience=PATIENCE):
    """Whether a command succeeds, and what it writes on both its outputs."""
    try:
        done = subprocess.run(
            ["openssl", *arguments], capture_output=True, timeout=patience, stdin=subprocess.DEVNULL, env=ENVIRONMENT
        )
    except subprocess.TimeoutExpired:
        return False, "", f"takes more than {patience} seconds"
    return done.returncode == 0, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")


def blocks(text):
    """The PEM blocks of an output: those of keys, and those of certificates."""
    found = [(match[1], match[0]) for match in BLOCK.finditer(text)]
    keys = [block for label, block in found if label.endswith("PRIVATE KEY")]
    return keys, [block for label, block in found if label == "CERTIFICATE"]


def open_pfx(path, password, patience):
    """With the default algorithms, then with the old ones."""
    for provider in ([], ["-legacy"]):
        secret = f"pass:{password or ''}"
        opened, out, trouble = run("pkcs12", "-in", path, "-nodes", "-passin", secret, *provider, patience=patience)
        if opened or trouble.startswith("takes"):
            break
    return opened, *blocks(out), trouble


def open_with_cryptography(path, password):
    with open(path, "rb") as file, warnings.catch_warnings():
        # It remarks that DER would leave out the iterations of PBMAC1.
        warnings.simplefilter("ignore")
        found = pkcs12.load_pkcs12(file.read(), password.encode())
    certificates = [found.cert, *found.additional_certs]
    keys = [found.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()]
    return True, keys, [one.certificate.public_bytes(Encoding.PEM).decode() for one in certificates], ""


def open_store(path, password):
    """PEM, and single objects in DER, with `openssl storeutl`."""
    secret = ("-passin", f"pass:{password or ''}")
    _, keys_out, trouble = run("storeutl", "-keys", *secret, path)
    _, certificates_out, _ = run("storeutl", "-certs", *secret, path)
    # `storeutl` calls a file without objects a success, and one with a single bad block a failure.
    keys, certificates = blocks(keys_out)[0], blocks(certificates_out)[1]
    return bool(keys or certificates), keys, certificates, trouble


def open_other(path, form):
    kind, _, encoding = form.partition("-")
    options = {"pkcs7": ["-print_certs"], "csr": ["-noout", "-verify"], "crl": ["-noout"]}[kind]
    command = {"csr": "req"}.get(kind, kind)
    opened, out, trouble = run(command, "-in", path, "-inform", encoding.upper(), *options)
    return opened, *blocks(out), trouble


def public_key(folder, block, command, *options):
    path = os.path.join(folder, "block.pem")
    with open(path, "w") as out:
        out.write(block)
    return run(command, "-in", path, *options)[1]


def chain_verdict(folder, leaf, others, roots):
    """What `openssl verify` says: ok, or the reason and the depth of the certificate it is about."""
    for name, content in (("leaf.pem", leaf), ("others.pem", "".join(others))):
        with open(os.path.join(folder, name), "w") as out:
            out.write(content)
    leaf_path = os.path.join(folder, "leaf.pem")
    untrusted = ["-untrusted", os.path.join(folder, "others.pem")] if others else []
    options = ["-attime", str(NOW), "-purpose", "sslserver", "-no-CApath", "-no-CAstore", "-CAfile", roots]
    good, out, trouble = run("verify", *options, *untrusted, leaf_path)
    if good:
        return {"verify": "ok"}
    reason = re.search(r"error \d+ at (\d+) depth lookup: (.*)", out + trouble)
    if reason:
        return {"verify": reason[2].strip(), "depth": int(reason[1])}
    return {"verify": "cannot be read"}


def list_verdict(folder, lists, roots):
    """What `openssl verify -crl_check` says of the chain that `chain_verdict` has written: every reason, sorted.

    With a list for each authority of the chain it is asked of all of it. Time alone it says and goes on.
    """
    options = ["-attime", str(NOW), "-no-CApath", "-no-CAstore", "-CAfile", roots]
    others = os.path.join(folder, "others.pem")
    options += ["-untrusted", others] if os.path.getsize(others) else []
    options += ["-crl_check", "-extended_crl"]
    options += ["-crl_check_all"] if len(lists) > 1 else []
    for path in lists:
        options += ["-CRLfile", path]
    good, out, trouble = run("verify", *options, os.path.join(folder, "leaf.pem"))
    reasons = re.findall(r"error \d+ at \d+ depth lookup: (.*)", out + trouble)
    return sorted({reason.strip() for reason in reasons}) or ["ok" if good else "cannot be read"]


def host_verdict(folder, host):
    """What `-verify_hostname` (or `-verify_ip`) says. The certificate itself is trusted, so that nothing else is in
    its way."""
    leaf = os.path.join(folder, "leaf.pem")
    option = "-verify_ip" if re.fullmatch(r"[0-9.]+|[0-9a-f:]*:[0-9a-f:]*", host) else "-verify_hostname"
    trust = ["-partial_chain", "-trusted", leaf, "-no_check_time", "-ignore_critical", "-auth_level", "0"]
    good, out, trouble = run("verify", *trust, option, host, leaf)
    mismatch = re.search(r"depth lookup: (hostname|IP address) mismatch", out + trouble)
    assert good or mismatch, (host, out, trouble)
    return good


def reason_of(trouble):
    """The last error without its numbers and places: `library: reason (detail)`."""
    last = trouble.strip().rpartition("\n")[2]
    fields = last.split(":")
    if "error" not in fields or len(fields) < 6:
        return last if len(fields) < 4 else "no object in it"
    library, _, reason, *_, detail = fields[fields.index("error") + 2 :]
    return f"{library}: {reason}" + (f" ({detail})" if detail and not detail.isdigit() else "")


def judge(case, path, roots, lists):
    """The `openssl` object of a case.

    The chain and the hosts are asked of the certificate that a key fits, without one of the first.
    """
    if case.by == "cryptography":
        opened, keys, certificates, trouble = open_with_cryptography(path, case.password)
    elif case.form == "pfx":
        opened, keys, certificates, trouble = open_pfx(
            path, case.password, LITTLE_PATIENCE if "too-many-iterations" in case.faults else PATIENCE
        )
    elif case.form.startswith(("pkcs7", "csr", "crl")):
        opened, keys, certificates, trouble = open_other(path, case.form)
    else:
        opened, keys, certificates, trouble = open_store(path, case.password)
    said = {
        "by": case.by,
        "opens": opened,
        "keys": len(keys),
        "certificates": len(certificates),
        "matches": None,
        "verify": None,
        "hosts": {},
    }
    if not opened:
        said["trouble"] = reason_of(trouble)
        return said
    with tempfile.TemporaryDirectory() as folder:
        # The name of the curve, where the key has its numbers; other kinds of keys refuse the option.
        own = [
            public_key(folder, block, "pkey", "-pubout", "-ec_param_enc", "named_curve")
            or public_key(folder, block, "pkey", "-pubout")
            for block in keys
        ]
        theirs = [public_key(folder, block, "x509", "-noout", "-pubkey") for block in certificates]
        pair = next((at for at, key in enumerate(theirs) if key and key in own), None)
        if keys and certificates:
            said["matches"] = pair is not None
        if certificates:
            at = pair or 0
            said.update(chain_verdict(folder, certificates[at], certificates[:at] + certificates[at + 1 :], roots))
            said["hosts"] = {host: host_verdict(folder, host) for host in case.hosts}
            if lists:
                said["lists"] = list_verdict(folder, lists, roots)
    return said
