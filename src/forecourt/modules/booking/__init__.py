"""Booking: who has which place when.

Owns schema `booking`. Invariants: two live claims never overlap on a resource or its parts, and the database refuses them;
a booking's price is the price it was made for until someone changes it on purpose; every change of status is one of the
transitions in `rules.py`, with an actor and an event; of whoever is erased nothing is left but ids in what happened. Gives
`booking.*` and `block.*` events; takes payments', venues' and identity's.
"""
