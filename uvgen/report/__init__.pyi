from .write import ReportResult, write_report

__all__ = ["ReportResult", "write_report"]
