"""Batches of text requests, and the files they read and write."""
