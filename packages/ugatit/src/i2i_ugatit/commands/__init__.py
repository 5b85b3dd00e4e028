"""What ``i2i ugatit`` can do."""
