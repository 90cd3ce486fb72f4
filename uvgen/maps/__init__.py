"""The UV grid: which triangle each texel shows, parameters to position maps, masks, mirrors, labels that move.

It builds on `models` and `rasterize`. Another per-texel target is a file beside `masks.py`.
"""
