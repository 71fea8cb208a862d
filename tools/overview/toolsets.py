"""All toolsets in the order in which a host lists them. Importing this module imports every tool."""

from ..account.admin import account_admin
from ..account.balance_and_bills import account
from ..account.key_page import sign_in
from ..batches.batches import batches
from ..gpu.admin import gpu_admin
from ..gpu.instances import gpu
from ..kit.mcp_tasks.followers import FOLLOWERS as FOLLOWERS  # complete by now: each imported family has added its own
from ..kit.toolset import Toolset, ToolSpec
from ..media.audio import audio
from ..media.combining import videos  # videos.py begins this toolset; combining.py adds what needs no model
from ..media.images import images
from ..sandbox.sandboxes import sandbox
from ..serverless.endpoints import serverless
from ..text.chat import text
from ..web.search import web
from .estimates import models  # media_models.py begins this toolset; estimates.py adds what knows all families
from .stopping import tasks  # tasks.py begins this toolset; stopping.py adds what knows machines and endpoints

TOOLSETS: tuple[Toolset, ...] = (
    images,
    videos,
    audio,
    tasks,
    models,
    text,
    batches,
    gpu,
    gpu_admin,
    serverless,
    account,
    account_admin,
    sign_in,
    web,
    sandbox,
)

TOOLS: dict[str, ToolSpec] = {spec.name: spec for toolset in TOOLSETS for spec in toolset.tools}
"""Every tool by its name."""
