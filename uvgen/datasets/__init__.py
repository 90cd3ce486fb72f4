"""The jobs: everything from samples to a finished folder of shards, and what is done with such folders."""
