from .layout import SUFFIXES, save_picture
from .page import ContactSheet, contact_sheet

__all__ = ["SUFFIXES", "ContactSheet", "contact_sheet", "save_picture"]
