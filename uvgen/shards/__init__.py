"""The file format: what a shard is, its writer and readers, and the index. It knows nothing of faces."""
