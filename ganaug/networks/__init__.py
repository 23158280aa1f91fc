"""Networks that GANs and judges share."""
