"""TimeGAN."""
