"""The Upload API: what arrives is checked, named, stored, and changed again."""
