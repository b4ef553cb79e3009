"""MediaToolkit: the one object an analyst holds. Every method delegates in a line or three."""

from media_toolkit.toolkit.kit import MediaToolkit, connect

__all__ = ["MediaToolkit", "connect"]
