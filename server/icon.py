"""The icon of icon.png, drawn in a few lines, so that it can stand in every answer to `initialize`."""

from urllib.parse import quote

from mcp_types import Icon

_DRAWN = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 512 512">'
    '<rect width="512" height="512" rx="112" fill="#111827"/>'
    '<path fill="#79e7c0" d="M120 130h56v252h-56zM336 130h56v252h-56z"/>'
    '<path fill="#46b1ff" d="M120 130h70l202 252h-70z"/><circle cx="419" cy="107" r="21" fill="#ffc857"/></svg>'
)
ICON = Icon(src=f"data:image/svg+xml,{quote(_DRAWN, safe='')}", mime_type="image/svg+xml", sizes=["any"])
