"""People: profiles and what a person shares, and preferences.

Owns schema `people`. Invariants: a handle belongs to one person, whatever its case; a field is shown to those its owner
chose and to nobody else; preferences are the person's alone. Gives `profile.changed`; takes none: a person without a row
is shown by the account's name, and the row is made at its first edit.
"""
