"""Bulk import: a source becomes items, items become assets, and nothing is lost on the way."""
