"""Asks the OSV database about every package that a lock pins: `python -m tools.audit requirements.lock [options of pip-audit]`.

Ends with 0 when every pin was looked up and nothing is known against any, with 1 when something is, and with 2 when the database
could not be asked about all of them: then nothing is known, and that is no reason to be at ease. pip-audit alone would end with 0
where a registry answers in the database's place and knows none of the packages.

An accepted finding is left out by name: `make audit ARGS='--ignore-vuln GHSA-…'`.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PIP_AUDIT = Path(sys.executable).parent / "pip-audit"
LIMIT_S = 900
FOUND, UNASKED = 1, 2
_PIN = re.compile(r"^([A-Za-z0-9._-]+==[^\\\n]+?) ?\\?$", re.MULTILINE)


class Vulnerability(msgspec.Struct, frozen=True):
    id: str
    fix_versions: list[str] = []


class Dependency(msgspec.Struct, frozen=True):
    name: str
    version: str = ""
    vulns: list[Vulnerability] = []
    skip_reason: str = ""
    """Why nobody was asked about it."""


class Report(msgspec.Struct, frozen=True):
    dependencies: list[Dependency]


Pin = tuple[str, str]


def pins(lock: str) -> set[Pin]:
    """What a lock has for this platform."""
    wanted = [Requirement(line) for line in _PIN.findall(lock)]
    here = [requirement for requirement in wanted if requirement.marker is None or requirement.marker.evaluate()]
    return {(canonicalize_name(r.name), next(iter(r.specifier)).version) for r in here}


def unasked(wanted: set[Pin], report: Report) -> list[str]:
    """Pins about which the report says nothing."""
    asked = {(canonicalize_name(d.name), d.version) for d in report.dependencies if not d.skip_reason}
    return [f"{name} {version}" for name, version in sorted(wanted - asked)]


def findings(report: Report) -> list[str]:
    """What is known against packages, a line each."""
    return [
        f"{d.name} {d.version}: {v.id}, {'mended in ' + ', '.join(v.fix_versions) if v.fix_versions else 'not mended yet'}"
        for d in report.dependencies
        for v in d.vulns
    ]


def main(lock: Path, options: Sequence[str]) -> int:
    wanted = pins(lock.read_text())
    if not wanted:
        print(f"{lock} pins nothing.", file=sys.stderr)
        return UNASKED
    command = [str(PIP_AUDIT), "--vulnerability-service=osv", "--format=json", "--progress-spinner=off", *options]
    command += [f"--requirement={lock}", "--disable-pip", "--require-hashes"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT_S)  # noqa: S603 - our own tool
    try:
        report = msgspec.json.decode(done.stdout.encode(), type=Report)
    except msgspec.DecodeError:
        said = done.stderr.strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
        print(f"The vulnerability database could not be asked, so nothing is known: {said[0]}", file=sys.stderr)
        return UNASKED
    missing, known = unasked(wanted, report), findings(report)
    for line in known:
        print(line)
    if missing:
        print(f"Nobody was asked about {len(missing)} of {len(wanted)}: {', '.join(missing[:10])}", file=sys.stderr)
        return UNASKED
    print(f"{lock.name}: {len(wanted)} packages looked up, {len(known)} findings.")
    return FOUND if known else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
