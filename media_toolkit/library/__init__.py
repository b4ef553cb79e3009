"""The two-sided acts: what is in Cloudinary and what the rows say of it, held together."""
