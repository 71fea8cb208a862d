"""Icons of the server and of its tools, as SVG of a few lines each.

Lists contain them as data URIs, so a host needs no request to draw them; models do not see them. Each tool in a list
carries its own copy, so an icon has only about 300 bytes, and all tools of a toolset have the same one.
"""

from collections.abc import Mapping
from urllib.parse import quote

from mcp_types import Icon

_KEPT = "/:=,'"
"""Characters that need no escape in a data URI; hosts accept them."""


def _icon(drawn: str) -> Icon:
    return Icon(src=f"data:image/svg+xml,{quote(drawn, safe=_KEPT)}", mime_type="image/svg+xml", sizes=["any"])


ICON = _icon(
    "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 512 512'>"
    "<rect width='512' height='512' rx='112' fill='#111827'/>"
    "<path fill='#79e7c0' d='M120 130h56v252h-56zM336 130h56v252h-56z'/>"
    "<path fill='#46b1ff' d='M120 130h70l202 252h-70z'/><circle cx='419' cy='107' r='21' fill='#ffc857'/></svg>"
)

_CHIP = "M6 6h12v12H6zM9 3v3M15 3v3M9 18v3M15 18v3M3 9h3M3 15h3M18 9h3M18 15h3"
_CARD = "M3 6h18v12H3zM3 10h18M7 15h4"
_LINES = {
    "images": "M3 5h18v14H3zM3 17l6-6 4 4 3-3 5 5",
    "videos": "M3 5h18v14H3zM10 9v6l5-3z",
    "audio": "M4 10v4M8 6v12M12 3v18M16 7v10M20 10v4",
    "tasks": "M4 7l2 2 3-4M12 7h8M4 16l2 2 3-4M12 16h8",
    "models": "M12 3l8 4.5v9L12 21l-8-4.5v-9zM4 7.5l8 4.5 8-4.5M12 12v9",
    "text": "M4 5h16v11H9l-5 4z",
    "batches": "M4 4h16v4H4zM4 10h16v4H4zM4 16h16v4H4z",
    "gpu": _CHIP,
    "gpu_admin": _CHIP,
    "serverless": "M7 18a4 4 0 0 1 0-8 6 6 0 0 1 11-1 4.5 4.5 0 0 1 0 9z",
    "account": _CARD,
    "account_admin": _CARD,
    "sign_in": "M8 12a4 4 0 1 0 0 .1M12 12h9v4M17 12v3",
    "web": "M3 12a9 9 0 1 0 18 0 9 9 0 1 0-18 0zM3 12h18M12 3c5 5 5 13 0 18-5-5-5-13 0-18",
    "sandbox": "M3 4h18v16H3zM7 9l3 3-3 3M12 15h5",
}
ICONS: Mapping[str, Icon] = {
    toolset: _icon(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 24 24'>"
        # This blue is visible on white and on black.
        f"<path fill='none' stroke='#2f81f7' stroke-width='2' d='{lines}'/></svg>"
    )
    for toolset, lines in _LINES.items()
}
"""The icon of each toolset, by its name."""
