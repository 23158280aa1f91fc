"""Differentiable augmentation of what a discriminator sees: a file for each kind of data."""
