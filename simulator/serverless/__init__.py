"""The simulator's serverless endpoints and their workers."""
