"""People: profiles and what a person shares, and preferences.

Owns schema `people`. Invariants: a handle belongs to one person, whatever its case; a field is shown to those its owner
chose and to nobody else; preferences are the person's alone. A person without a row is shown by the account's name, and the
row is made at its first edit. Gives `profile.changed`; takes `account.registered`, for the language that a person came in, and
`account.erased`: then nothing of them stays.

Also the door through which a person takes everything that any module keeps of them (`exporting.py`): each tells its own
(`kernel/records.py`), and nothing is kept of what is sent.
"""
