"""Pages about any number of tests: an overview and one for each system. Each needs no other file."""

from bgsub_lightning.report.page.page import Section, report_page, write_page

__all__ = ["Section", "report_page", "write_page"]
