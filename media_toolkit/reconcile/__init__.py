"""Cloudinary ⇄ Postgres: where they differ, and mending it."""
