"""CycleGAN for i2i."""
