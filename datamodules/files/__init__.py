"""Files as people write them: arrays, tables, and what their cells say."""
