"""Writes the test files of `appproxy check-cert` into `files/`, the trusted roots into
`roots.pem`, lists of revoked certificates into `lists/`, and what each file is, with OpenSSL's verdict, into
`cases.json`.

    python3 testdata/certs/generate.py

Keys in `keys/` are used again; files with random salts are kept until their recipe changes.
"""

import json
import sys

from maker import (
    cases_chain,
    cases_keys,
    cases_names,
    cases_other,
    cases_pem,
    cases_pfx,
    cases_pfx_harm,
    cases_revoked,
    judge,
    pki,
)

# In the order of the rows of `cases.json`.
MODULES = (
    cases_pfx,
    cases_pfx_harm,
    cases_pem,
    cases_keys,
    cases_other,
    cases_chain,
    cases_names,
    cases_revoked,
)
FILES, LISTS = pki.HERE / "files", pki.HERE / "lists"


def write(folder, contents):
    """The files of a folder, and no others; what is right already is left alone."""
    folder.mkdir(exist_ok=True)
    for name, data in contents.items():
        path = folder / name
        if not path.exists() or path.read_bytes() != data:
            path.write_bytes(data)
    for stray in set(folder.iterdir()) - {folder / name for name in contents}:
        stray.unlink()


def main():
    FILES.mkdir(exist_ok=True)
    roots = pki.HERE / "roots.pem"
    roots.write_bytes(pki.pem_certificates(pki.ROOT))
    cases = [case for module in MODULES for case in module.all_cases()]
    contents, lists = {}, {}
    for case in cases:
        assert contents.setdefault(case.file, case.data) == case.data, f"two contents for {case.file}"
        for name, data in case.lists.items():
            assert lists.setdefault(name, data) == data, f"two contents for {name}"
    write(FILES, contents)
    write(LISTS, lists)
    table = []
    for case in cases:
        verdict = judge.judge(case, str(FILES / case.file), str(roots), [str(LISTS / name) for name in case.lists])
        table.append(
            {
                "file": case.file,
                "password": case.password,
                "extension_lies": case.extension_lies,
                "construct": case.construct,
                "hosts": case.hosts,
                "faults": case.faults,
                "openssl": verdict,
                **({"lists": list(case.lists)} if case.lists else {}),
            }
        )
    lines = ",\n".join(" " + json.dumps(row, ensure_ascii=False) for row in table)
    (pki.HERE / "cases.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    print(f"{len(table)} cases, {len(contents)} files", file=sys.stderr)


if __name__ == "__main__":
    main()
