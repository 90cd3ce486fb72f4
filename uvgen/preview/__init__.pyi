from .alignment import alignment_gif, draw_alignment
from .page import ContactSheet, PreviewResult, contact_sheet, render_preview
from .predictions import prediction_sheet, render_predictions

__all__ = [
    "ContactSheet",
    "PreviewResult",
    "alignment_gif",
    "contact_sheet",
    "draw_alignment",
    "prediction_sheet",
    "render_predictions",
    "render_preview",
]
