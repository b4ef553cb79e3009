"""What the server knows, in one SQLite file: a module a kind of record."""
