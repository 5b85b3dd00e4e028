"""The commands ``i2i pix2pixhd ...``, one file each."""
