"""A page that shows everything about any number of tests: one HTML file that needs nothing else."""

from bgsub_lightning.results.page.page import Part, write_page

__all__ = ["Part", "write_page"]
