"""Tasks that are made once, whole, and found again by the next run. This room knows no shards."""
