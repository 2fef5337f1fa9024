"""Audit: who did what to which object, from where (AU-1).

Every event of the house becomes an entry of its organisation's chain. Entries are never changed: each carries a hash over
itself and the entry before it, so a changed, missing or inserted one is found by `verify`. Reads nothing of other modules.
"""
