"""Runs squawk over every migration: `python -m tools.lint_migrations [folder]`.

The migration runner decides what a file runs in, so squawk has to be told: most files run in a transaction with
`lock_timeout` and `statement_timeout` already set; a file that begins with `-- forecourt: no transaction` runs bare.
Exits with squawk's code; the house's exceptions to its rules stand in `.squawk.toml`.
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONFIG = ROOT / ".squawk.toml"
NO_TRANSACTION = "-- forecourt: no transaction"
# What the runner sets itself before a file that runs in a transaction.
SET_BY_RUNNER = ["require-lock-timeout", "require-statement-timeout"]
SQUAWK = Path(sys.executable).parent / "squawk"


def lint(files: list[Path], *options: str) -> int:
    if not files:
        return 0
    command = [str(SQUAWK), f"--config={CONFIG}", "--reporter=gcc", *options, *map(str, files)]
    return subprocess.run(command, check=False).returncode  # noqa: S603 - our own tool on our own files


def main(folder: Path) -> int:
    files = sorted(folder.glob("**/migrations/*.sql"))
    bare = [file for file in files if file.read_text().startswith(NO_TRANSACTION)]
    framed = [file for file in files if file not in bare]
    # `--exclude` replaces the file's list instead of adding to it.
    excluded = [*tomllib.loads(CONFIG.read_text())["excluded_rules"], *SET_BY_RUNNER]
    codes = [lint(framed, "--assume-in-transaction", f"--exclude={','.join(excluded)}"), lint(bare)]
    print(f"squawk: {len(files)} migrations, {len(bare)} of them outside a transaction", flush=True)
    return max(codes)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "src"))
