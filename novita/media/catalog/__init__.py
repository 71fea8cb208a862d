"""The catalogue of media models, as data: one file a kind. `lookup.py` reads it."""
