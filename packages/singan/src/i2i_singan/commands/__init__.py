"""What ``i2i singan NAME`` calls."""
