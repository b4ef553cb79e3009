"""The stack with no account: a real Postgres and a Cloudinary-compatible server, per home."""
