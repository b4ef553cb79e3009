"""Image transformations: strings (`values`, `parse`) → sizes (`geometry`) → pixels (`paint`) →
bytes (`encode`)."""
