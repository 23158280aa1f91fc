"""Do samples help? Cells, statistics and the report."""
