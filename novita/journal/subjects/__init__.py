"""What the journal keeps about people who sign in, besides their jobs."""
