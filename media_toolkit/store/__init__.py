"""Speaks to Postgres; nothing else does."""
