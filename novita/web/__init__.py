"""Searching and reading the web through Novita."""
