"""Results: what a test found, tables, pictures."""
