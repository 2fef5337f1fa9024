"""A database that was just migrated, for tools that ask the catalogue. Its own, and gone afterwards."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from forecourt.engines import start_engines
from forecourt.kernel.migrate import migrate
from forecourt.layout import migration_folders

# Nothing of it is kept.
QUICK = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "shared_buffers": "32MB"}


@contextmanager
def migrated() -> Generator[str]:
    """The owner's address of it."""
    with (
        tempfile.TemporaryDirectory(prefix="fc-tool-", ignore_cleanup_errors=True) as place,
        start_engines(Path(place) / "var", valkey_url="valkey://nobody", postgres_settings=QUICK) as engines,
    ):
        asyncio.run(migrate(engines.database_url, migration_folders()))
        yield engines.database_url
