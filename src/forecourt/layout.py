"""Where the parts of the house lie on disk. For the composition root, the command line and tests; modules never look."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parent


def module_names() -> list[str]:
    """Every module, by name."""
    return sorted(p.parent.name for p in (ROOT / "modules").glob("*/__init__.py"))


def migration_folders() -> list[tuple[str, Path]]:
    """The folders `migrate` takes: the kernel's first, then those of the modules that have one, by name."""
    found = sorted(p for p in (ROOT / "modules").glob("*/migrations") if p.is_dir())
    return [("kernel", ROOT / "kernel" / "migrations"), *((p.parent.name, p) for p in found)]


def template_folders() -> list[Path]:
    """The modules' `templates/` folders."""
    return sorted(p for p in (ROOT / "modules").glob("*/templates") if p.is_dir())
