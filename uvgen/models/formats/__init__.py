"""Readers of foreign morphable-model files, one module a format: `read(...) -> MorphableModel`."""
