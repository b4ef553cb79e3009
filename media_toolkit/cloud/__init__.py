"""Speaks to Cloudinary; nothing else does."""
