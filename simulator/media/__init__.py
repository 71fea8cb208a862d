"""The simulator's pictures, videos and sounds."""
