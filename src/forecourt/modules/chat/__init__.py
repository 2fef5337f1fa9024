"""Chat: rooms, who is in them, and what is said there.

Owns schema `chat`. Invariants: what happens in a room is numbered densely in the transaction in which it happens, and a client
that applies the numbered events to an older state has the present one; a message handed in twice under one `client_id` is one
message; what is unread follows from a position per member, never from rows per recipient; who is not in a private room cannot
tell it from one that does not exist; what was deleted is gone from the message, its history and the kept events.

Gives `chat.message_sent` and the events of membership; takes what happens to bookings, whose rooms follow their party, and that
an account was erased, whose person it forgets.
"""
