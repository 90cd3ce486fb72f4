"""Pixels in and out: codecs, where the crop goes, sampling it. It knows no models."""
