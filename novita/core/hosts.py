"""Where Novita is. Apart from the client, which is heavy: settings need the address before anything is called."""

API_HOST = "https://api.novita.ai"
ASSET_HOST = "https://assets.novitai.com"
"""Takes the videos that some tasks work on."""
