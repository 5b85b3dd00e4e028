"""pix2pix: translation learnt from pairs, and colourisation."""
