"""R3GAN: its networks, its training and the model, for pictures and for series."""
