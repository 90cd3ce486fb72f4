"""The same function on many workers. Another backend is another file with a function like `run_on_workers`."""
