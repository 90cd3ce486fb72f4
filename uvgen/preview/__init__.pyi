from .page import ContactSheet, contact_sheet

__all__ = ["ContactSheet", "contact_sheet"]
