"""The `uvgen` command, one module a sub-command; heavy imports happen inside the commands."""
