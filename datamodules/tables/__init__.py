"""Tables as people write them: what their cells and dates say."""
