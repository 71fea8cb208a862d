"""The user's file of settings, keys in the system's keyring, and where a process keeps things."""
