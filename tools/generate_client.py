"""Writes what is generated from the OpenAPI document: the Python client, the types for TypeScript, the Postman collection.

python -m tools.generate_client            # writes
python -m tools.generate_client --check    # says what differs, and fails if anything does
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from tools.clients import model, postman, python, typescript
from tools.clients.source import read_document

ROOT = Path(__file__).resolve().parents[1]
PYTHON = Path("clients/python/src/forecourt_client")
JAVASCRIPT = Path("clients/js")
POSTMAN = Path("clients/postman")


def files(document: dict[str, object]) -> dict[Path, str]:
    """Every generated file, by its place in the repository. Raises model.Surprise."""
    known = model.read(document)
    found = formatted({PYTHON / name: text for name, text in python.render(known).items()})
    found |= {JAVASCRIPT / name: text for name, text in typescript.render(known).items()}
    return found | {POSTMAN / name: text for name, text in postman.render(known).items()}


def formatted(sources: dict[Path, str]) -> dict[Path, str]:
    """Python as `make fmt` leaves it, unused imports removed."""
    with tempfile.TemporaryDirectory() as folder:
        for path, text in sources.items():
            (Path(folder) / path.name).write_text(text)
        ruff = [str(Path(sys.executable).with_name("ruff"))]
        config = ["--config", str(ROOT / "pyproject.toml"), "--quiet"]
        for command in (["check", "--fix-only", "--select", "I,F401", *config], ["format", *config]):
            subprocess.run([*ruff, *command, folder], check=True, timeout=60)  # noqa: S603
        return {path: (Path(folder) / path.name).read_text() for path in sources}


def differences(wanted: dict[Path, str], root: Path = ROOT) -> list[Path]:
    """Generated files that are not there, or are not what the document says."""
    return [path for path, text in wanted.items() if not (root / path).exists() or (root / path).read_text() != text]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail when something would change")
    asked = parser.parse_args()
    wanted = files(read_document())
    changed = differences(wanted)
    for path in changed:
        if asked.check:
            print(f"{path} is not what the OpenAPI document says: run `make clients`", file=sys.stderr)
        else:
            (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
            (ROOT / path).write_text(wanted[path])
            print(path)
    return 1 if asked.check and changed else 0


if __name__ == "__main__":
    sys.exit(main())
