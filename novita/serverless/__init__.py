"""Serverless endpoints: deploying them, calling them, and what they cost."""
