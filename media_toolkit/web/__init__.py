"""The HTTP API: Neon's Cloudinary guide's two endpoints, beside the dashboard in one process."""
