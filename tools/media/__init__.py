"""Tools that make and change pictures, videos and sounds."""
