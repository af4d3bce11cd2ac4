"""The report: one HTML file about a configuration, interactive, without network."""

from tightrope.viewing.report.collect import find_audit, find_parity, findings
from tightrope.viewing.report.data import report_data
from tightrope.viewing.report.render import page

__all__ = ["find_audit", "find_parity", "findings", "page", "report_data"]
