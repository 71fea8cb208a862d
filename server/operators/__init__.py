"""The operator's view: pages for the person who runs a server for many callers."""
