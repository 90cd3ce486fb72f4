from .page import ContactSheet, PreviewResult, contact_sheet, render_preview
from .predictions import prediction_sheet

__all__ = ["ContactSheet", "PreviewResult", "contact_sheet", "prediction_sheet", "render_preview"]
