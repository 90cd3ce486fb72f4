"""Packaged assets of uvgen; see the README beside this file."""
