"""The file format: what a shard is, writing and reading shards, and the index of a data set.

It builds on `images` and `fixed_point` and knows nothing of faces: what a sample's fields are is `datasets.fields`. A
change of the format raises `VERSION` in `format.py`.
"""
