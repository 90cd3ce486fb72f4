from .page import ContactSheet, PreviewResult, contact_sheet, render_preview

__all__ = ["ContactSheet", "PreviewResult", "contact_sheet", "render_preview"]
