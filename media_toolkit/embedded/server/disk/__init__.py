"""Files on disk: what is kept, and what was derived from it."""
