"""What Novita's documentation says, as data: one file an area. `facts.py` reads it."""
