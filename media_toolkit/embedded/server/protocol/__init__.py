"""Requests read and answers written as Cloudinary does."""
