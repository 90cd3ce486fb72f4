"""Morphable face models: the value that everything works with, reading and making them."""
