"""Sign-in over HTTP: tokens of an OAuth 2.1 authorization server, whose subjects have Novita keys kept for them.

Imported only where an issuer is set.
"""
