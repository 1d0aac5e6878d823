"""Shared by all packages: errors, the console, files, records, ranges, text."""
