"""The file format: what a shard is, writing and reading shards, and the index of a data set.

It builds on `images` and `fixed_point` and contains nothing about faces: `datasets.fields` says which fields a sample
has. A change of the format raises `VERSION` in `format.py`.
"""
