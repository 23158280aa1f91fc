"""SeqGAN."""
