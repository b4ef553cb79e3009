"""Delivery: originals and derived files by their URL."""
