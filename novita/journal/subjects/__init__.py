"""What is kept of those who sign in, besides their jobs."""
