"""Notifications: brings messages to people.

Owns schema `notifications`. Invariants: a mail is kept only outside production, in the outbox that developers look at; the
same mail handed over twice appears once; nothing leaves for whoever is erased (identity's `account.erased`), and nothing of what
they were told stays.
"""
