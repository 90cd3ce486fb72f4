"""Pixels in and out: pictures as files, where the crop goes, sampling it.

It builds on `storage` and `geometry` and contains nothing about models. Another way to place the crop is a file beside
`crop.py`.
"""
