from .options import ReportOptions
from .write import ReportResult, write_report

__all__ = ["ReportOptions", "ReportResult", "write_report"]
