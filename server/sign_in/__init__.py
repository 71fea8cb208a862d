"""Sign-in over HTTP with tokens of an OAuth 2.1 authorization server. The server keeps a Novita key for each subject.

Imported only if the settings name an issuer.
"""
