"""Archives and signed downloads."""
