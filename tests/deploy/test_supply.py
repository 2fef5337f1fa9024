"""What is shipped is listed (`make sbom`) and looked up (`make audit`), and an audit that could not ask says so and fails."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema_rs
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]


def tool(name: str) -> ModuleType:
    """A module of tools/, which is no package that is installed."""
    spec = spec_from_file_location(f"tools.{name}", ROOT / "tools" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    sys.modules[spec.name] = module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


AUDIT = tool("audit")
LOCK = (
    "anyio==4.1.0 \\\n    --hash=sha256:" + "0" * 64 + "\n"
    "colorama==0.4.6 ; sys_platform == 'win32' \\\n    --hash=sha256:" + "1" * 64 + "\n"
    "Jinja2==3.1.0 \\\n    --hash=sha256:" + "2" * 64 + "\n"
)


@contextmanager
def database(against: dict[str, Any]) -> Iterator[str]:
    """A vulnerability database that knows what `against` says of a package, asked as OSV is; yields its address."""

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            body = json.dumps(against.get(asked["package"]["name"], {})).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1/query"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def audit(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "some.lock").write_text(LOCK)
    command = [sys.executable, "-m", "tools.audit", str(folder / "some.lock"), *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)


def test_an_audit_that_cannot_reach_its_data_fails_and_says_so(tmp_path: Path) -> None:
    done = audit(tmp_path, "--osv-url=http://127.0.0.1:9/v1/query", "--timeout=2")
    assert done.returncode == AUDIT.UNASKED
    assert "could not be asked, so nothing is known" in done.stderr


def test_an_audit_that_finds_nothing_passes_and_one_that_finds_something_does_not(tmp_path: Path) -> None:
    with database({}) as address:
        done = audit(tmp_path, f"--osv-url={address}")
    assert (done.returncode, done.stdout) == (0, "some.lock: 2 packages looked up, 0 findings.\n"), done.stderr
    known = {
        "id": "GHSA-0000",
        "details": "It escapes.",
        "affected": [
            {
                "package": {"name": "jinja2", "ecosystem": "PyPI"},
                "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "3.1.6"}]}],
            }
        ],
    }
    with database({"jinja2": {"vulns": [known]}}) as address:
        done = audit(tmp_path, f"--osv-url={address}")
        assert done.returncode == AUDIT.FOUND, done.stderr
        assert "jinja2 3.1.0: GHSA-0000, mended in 3.1.6" in done.stdout
        accepted = audit(tmp_path, f"--osv-url={address}", "--ignore-vuln=GHSA-0000")
        assert accepted.returncode == 0


def test_what_was_passed_over_was_not_asked() -> None:
    """As pip-audit answers where a registry stands in for the database: with exit status 0."""
    report = AUDIT.Report(
        [
            AUDIT.Dependency("anyio", skip_reason="Dependency not found and could not be audited"),
            AUDIT.Dependency("jinja2", "3.1.0"),
        ]
    )
    assert AUDIT.unasked(AUDIT.pins(LOCK), report) == ["anyio 4.1.0"]
    assert AUDIT.findings(report) == []


def test_every_pin_of_our_locks_is_read() -> None:
    for name in ("requirements.lock", "requirements-dev.lock"):
        text = (ROOT / name).read_text()
        lines = [line for line in text.splitlines() if "==" in line and not line.startswith(" ")]
        foreign = [line for line in lines if " ; " in line]
        assert len(lines) - len(foreign) <= len(AUDIT.pins(text)) <= len(lines)


@pytest.fixture(scope="module")
def bill(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `make sbom` writes. Only its own command is run: what make would do first is to renew the environment we run in."""
    path = tmp_path_factory.mktemp("sbom") / "sbom.json"
    asked = ["make", "--no-print-directory", "--dry-run", "sbom", f"SBOM={path}"]
    said = subprocess.run(asked, cwd=ROOT, check=True, capture_output=True, text=True, timeout=60).stdout
    (command,) = [line for line in said.splitlines() if "cyclonedx" in line]
    subprocess.run(command, shell=True, cwd=ROOT, check=True, capture_output=True, timeout=120)
    return json.loads(path.read_text())


def test_the_bill_of_materials_lists_what_is_shipped_with_its_hashes(bill: dict[str, Any]) -> None:
    assert (bill["bomFormat"], bill["metadata"]["component"]["name"]) == ("CycloneDX", "forecourt")
    listed = {(part["name"].lower(), part["version"]) for part in bill["components"]}
    assert AUDIT.pins((ROOT / "requirements.lock").read_text()) <= listed
    for part in bill["components"]:
        assert part["purl"] == f"pkg:pypi/{part['name'].lower()}@{part['version']}"
        assert all(len(h["content"]) == 64 for ref in part["externalReferences"] for h in ref["hashes"])


WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
SHAPE = json.loads((files("check_jsonschema") / "builtin_schemas" / "vendor" / "github-workflows.json").read_text())


def workflow_faults(tree: dict[Any, Any]) -> list[str]:
    """What GitHub would refuse, and targets that make does not have."""
    # YAML 1.1 reads the key `on` as true.
    shaped = {("on" if key is True else key): value for key, value in tree.items()}
    found = [f"{list(error.instance_path)}: {error.message}" for error in jsonschema_rs.validator_for(SHAPE).iter_errors(shaped)]
    targets = {line.partition(":")[0] for line in (ROOT / "Makefile").read_text().splitlines() if ": " in line}
    for job in shaped.get("jobs", {}).values():
        for step in job.get("steps", ()):
            words = str(step.get("run", "")).split()
            if words[:1] == ["make"]:
                found += [
                    f"make has no {word}" for word in words[1:] if word[0] != "-" and "=" not in word and word not in targets
                ]
            owner, _, version = step.get("uses", "actions/@v0").partition("@")
            # A name of somebody else's release may be given to another commit, as trivy-action's were in March 2026.
            pinned = r"v\d+" if owner.startswith("actions/") else r"[0-9a-f]{40}"
            if not re.fullmatch(pinned, version):
                found.append(f"{step['uses']} is not pinned")
    return found


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_are_taken_and_run_what_make_has(path: Path) -> None:
    tree = yaml.safe_load(path.read_text())
    assert workflow_faults(tree) == []
    job = next(iter(tree["jobs"].values()))
    assert workflow_faults(tree | {"jobs": {"x": job | {"steps": [{"run": "make adit"}]}}}) == ["make has no adit"]
    assert workflow_faults(tree | {"jobs": {"x": job | {"runs_on": "x"}}}) != []
    for moving in ("actions/checkout", "actions/checkout@main", "aquasecurity/trivy-action@0.33.1"):
        assert workflow_faults(tree | {"jobs": {"x": job | {"steps": [{"uses": moving}]}}}) == [f"{moving} is not pinned"]


def test_the_workflow_runs_the_tests_where_none_of_them_has_to_be_skipped() -> None:
    """As root, with mounts and network namespaces, on the system whose packages the image names."""
    job = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]["check"]
    assert "--privileged" in job["container"]["options"].split()
    base = re.search(r"^FROM python:([\d.]+)-slim-(\w+) AS base$", (ROOT / "deploy/docker/Dockerfile").read_text(), re.MULTILINE)
    assert base is not None and job["container"]["image"] == f"python:{base[1]}-{base[2]}"
    assert [step["env"]["NO_SKIPS"] for step in job["steps"] if step.get("run") == "make coverage"] == ["true"]
