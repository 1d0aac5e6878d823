"""Pages about any number of tests: an overview and one for each system, none of which needs another file."""

from bgsub_lightning.report.page.page import Section, report_page, write_page

__all__ = ["Section", "report_page", "write_page"]
