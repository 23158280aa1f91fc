"""Pictures: what they mean, where they come from, how they are written."""
