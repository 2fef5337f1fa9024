"""Identity: accounts, log-in, sessions, staff of organisations, roles and API keys.

Owns schema `identity`. Invariants: an e-mail address has one account; no secret is stored in the clear, be it a password,
a code, a token or a key; a spent refresh token ends its family; an organisation that has an owner always keeps one; of an
account that was erased nothing is left but its id, which nobody gets again.
Gives `account.*`, `staff.*`, `role.*`, `api_key.*` and `security.*` events; takes none.
"""
