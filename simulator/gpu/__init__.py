"""The simulator's GPU instances and what surrounds them, in both generations of routes."""
