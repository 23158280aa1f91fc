"""What learns: GANs, their losses, and their checkpoints."""
