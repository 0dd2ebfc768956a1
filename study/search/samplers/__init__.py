"""Who chooses the next trial: a file a way of choosing, and their names in `registry.py`."""
