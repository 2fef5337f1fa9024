"""Venues: organisations, their places, the things in them, hours, prices and policies.

Owns schema `venues`. Invariants: a venue belongs to one organisation for ever; a price is in the organisation's currency;
a combined resource never contains itself; every edit raises the version of the venue's book, so that a cached book is
either current or recognisably old; the directory (`venues.listing`) is written in the transaction of the edit. Gives
`venue.*`, `resource.*` and `organisation.*` events; takes none.
"""
