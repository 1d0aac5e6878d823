"""A page that shows everything about any number of tests: one HTML file that needs nothing else."""

from bgsub_lightning.report.page.page import Section, report_page, write_page

__all__ = ["Section", "report_page", "write_page"]
