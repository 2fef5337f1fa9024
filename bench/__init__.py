"""Load programs, and the peers that Forecourt is compared with. `python -m bench` lists them; docs/performance.md tells more.

Each program makes its own installation in a temporary directory, with the engines' production settings, fills it, loads it
over the loopback, prints a table and writes the figures to `bench/results/`. Nothing here touches an existing installation.
"""
