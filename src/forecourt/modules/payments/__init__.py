"""Payments: the ledger, wallets of credits, promo codes, charges, refunds and what is settled at the desk.

Owns schema `payments`. Invariants: a transfer's entries sum to zero in one currency and are never changed; a wallet holds
exactly what its lots hold and never less than nothing; a charge, refund, grant or reversal happens once per id; no more comes
back than was charged; a promo code is never used more often than its limits say; of whoever is erased numbers are left and no
words. Gives `payment.*`, `credits.*` and `promo.*` events; takes identity's `account.erased`.
"""
