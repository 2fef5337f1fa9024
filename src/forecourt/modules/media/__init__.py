"""Media: files that people send, judged by what is in them, kept once, and shown to whom they are for.

Owns schema `media` and the object store. Invariants: a row names only objects that are there; an object without a row is
removed; what is kept of an image says neither where nor with what it was taken; a file is shown to everybody only when its
owner made it public, otherwise to who presents a signed, short-lived address. Gives `media.attached` and `media.removed`;
takes `account.erased`: what that person held goes.
"""
