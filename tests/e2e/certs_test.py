#!/usr/bin/env python3
"""`herd certs`: what it makes, what openssl says to it, what it refuses.

    certs_test.py HERD_BINARY
"""
import json
import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

HERD = sys.argv[1]
failures = []


def herd(*arguments, code=0):
    run = subprocess.run([HERD, "certs", *map(str, arguments)], capture_output=True, text=True, timeout=120)
    if run.returncode != code:
        failures.append(f"{arguments}: exit {run.returncode}, wanted {code}: {run.stderr[-300:]}")
    return run.stdout, run.stderr


def expect(what, condition):
    if not condition:
        failures.append(what)


def openssl(*arguments):
    run = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, timeout=60)
    return run.stdout + run.stderr


def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


def bytes_of(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def makes(folder):
    os.umask(0)  # rights are asked for, not left to chance
    out, _ = herd(folder, "--nodes", "a,b.example", "--gateways", "2")
    expect("the folder is private", mode(folder) == 0o700)
    stems = ["ca", "coordinator", "operator", "a", "b.example", "gateway-1", "gateway-2"]
    expect("a certificate and a key each",
           sorted(bytes_of(folder)) == sorted(stem + end for stem in stems for end in (".key", ".pem")))
    for stem in stems:
        expect(f"{stem}.key is private", mode(folder / f"{stem}.key") == 0o600)
        expect(f"{stem}.key is named or to be kept away", f"{stem}.key" in out)
    for stem, uri in (("coordinator", "coordinator/coordinator"), ("operator", "operator/operator"), ("a", "node/a"),
                      ("b.example", "node/b.example"), ("gateway-2", "gateway/gateway-2")):
        text = openssl("x509", "-in", folder / f"{stem}.pem", "-noout", "-ext", "subjectAltName")
        expect(f"{stem}: {text}", f"URI:herd:{uri}\n" in text)
        for purpose in ("sslserver", "sslclient"):
            said = openssl("verify", "-x509_strict", "-purpose", purpose, "-CAfile", folder / "ca.pem", folder / f"{stem}.pem")
            expect(f"{stem} as {purpose}: {said}", said.strip().endswith(": OK"))
    said = openssl("verify", "-partial_chain", "-trusted", folder / "a.pem", folder / "gateway-1.pem")
    expect("a node signs nobody", "verification failed" in said)


def adds(folder):
    before = bytes_of(folder)
    _, err = herd(folder, "--nodes", "a", "--gateways", "0", code=2)
    expect(f"a file that is there is named: {err}", "/a.pem is there already" in err)
    expect("and nothing was touched", bytes_of(folder) == before)
    out, _ = herd(folder, "--nodes", "c", "--gateways", "east", "--output", "json")
    said = json.loads(out)
    expect(f"the authority signs more: {out}", said["authority"]["made"] is False and
           [(each["role"], each["name"]) for each in said["certificates"]] == [("node", "c"), ("gateway", "east")])
    expect("what was there stays", {name: text for name, text in bytes_of(folder).items() if name in before} == before)
    expect("the new one is good", "OK" in openssl("verify", "-CAfile", folder / "ca.pem", said["certificates"][0]["certificate"]))
    os.chmod(folder / "ca.key", 0o644)
    _, err = herd(folder, "--nodes", "d", "--gateways", "0", code=3)
    expect(f"a key that others may read is refused: {err}", "chmod 600" in err)
    os.chmod(folder / "ca.key", 0o600)
    (folder / "ca.key").write_bytes((folder / "a.key").read_bytes())
    _, err = herd(folder, "--nodes", "d", "--gateways", "0", code=3)
    expect(f"another's key is refused: {err}", "not a pair" in err and "ca.key" in err)


def refuses(folder):
    for arguments, names in ((["--nodes", "../x"], "'../x'"), (["--nodes", "a,a"], "twice"), (["--nodes", "a b"], "'a b'"),
                             (["--gateways", "1001"], "1000"), (["--gateways", "g,g"], "twice"), (["--days", "0"], "--days"),
                             (["--output", "yaml"], "--output"), (["--nodes", "x" * 64], "1 to 63")):
        _, err = herd(folder, *arguments, code=2)
        expect(f"{arguments}: {err}", names in err)
    expect("nothing was made", not folder.exists())
    _, err = herd("/dev/null/x", code=4)
    expect(f"a place that is none: {err}", "/dev/null/x: cannot be made" in err)
    out, _ = herd("--help")
    expect("--help tells of every flag", all(flag in out for flag in ("folder", "--nodes", "--gateways", "--days", "--output")))


def main():
    with tempfile.TemporaryDirectory() as place:
        refuses(Path(place) / "none")
        makes(Path(place) / "certs")
        adds(Path(place) / "certs")
    for line in failures:
        print(line)
    print(f"{len(failures)} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
