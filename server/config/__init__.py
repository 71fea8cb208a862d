"""The user's settings file, API keys in the system's keyring, and the folders a process uses."""
