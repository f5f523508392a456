"""What an engine remembers on disk, and the locks that say who uses it."""
