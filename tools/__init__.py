"""Checks of our own that the linters have no words for. Used by `make lint`; nothing here is shipped."""
