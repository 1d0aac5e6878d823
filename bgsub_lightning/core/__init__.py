"""What every room needs: errors, the console, files, records, ranges, text."""
