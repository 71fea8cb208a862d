"""create_app(): the chosen toolsets on an MCPServer, and the parts of the process they share.

Start-up and lists use stored data and import hardly anything of tools/ and novita/; `later` imports the rest, in a
thread. "Host" means the program with the agent in it, such as Claude Desktop, which starts this server.
"""

import difflib
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import anyio.abc
import anyio.to_thread
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.server import MCPServer
from mcp.server.caching import CacheHint
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.lowlevel.helper_types import ReadResourceContents
from mcp.server.mcpserver import Context
from mcp.server.request_state import RequestStateSecurity
from mcp.shared.message import SessionMessage
from mcp_types import (
    CallToolResult,
    CompleteRequestParams,
    CompleteResult,
    GetPromptResult,
    InputRequiredResult,
    Prompt,
    Resource,
    ResourceTemplate,
)
from mcp_types import Tool as ListedTool
from pydantic import AnyUrl

from .. import tools
from ..novita.core.lazy import without
from ..tools.kit.mcp_tasks.extension import NovitaTasks
from ..tools.overview.surface import OfferedTool, surface, toolset_of
from . import later
from .extensions.handshake import declared_in_handshake
from .extensions.skills import Skills
from .gallery.pages import Pages
from .icon import ICON, ICONS
from .logs import hush_handlers, learn_settings
from .settings import SettingError, Settings, parts, request_keys
from .version import version
from .warming import Lull, is_loaded, load, load_quick_road, load_tool, steps
from .wire.messages import speak_well

if TYPE_CHECKING:
    from ..tools.kit.context import App
    from ..tools.kit.mcp_tasks.followers import Follower
    from .call_metrics import Watch
    from .sign_in.gate import Gate

T = TypeVar("T")

HOUR_MS = 3_600_000
"""How long a client may reuse a list. Lists change only with a newer version of this server."""
NAME = "novita"

BuildApp = Callable[[Settings, anyio.abc.TaskGroup], "App"]


def instructions(toolsets: Iterable[str], read_only: bool) -> str:
    """The text that tells a model what to know before its first call."""
    lines = [
        "Novita AI: make pictures, video and sound, run language models, rent GPU machines, deploy APIs. Tools that "
        "spend say so. estimate_cost, or dry_run=true, shows the price beforehand; an estimate may be unknown, which "
        "does not mean free. Machines and endpoints cost until they are stopped.",
        "Status working: the job goes on at Novita and is already paid for. Call get_task with the task_id until it is "
        "done (a batch: get_batch). Never ask for the same thing again; list_tasks finds lost ids.",
        "Status needs_confirmation: nothing was sent. Show the user what it costs, and call again with confirm=true "
        "only after a yes to that price.",
        "Errors say whether anything was billed and what to do next. Where one says it may have been billed, check "
        "list_tasks before trying again.",
        "Results feed other tools: give task:<task_id>/<n> wherever an image, video or audio is asked for. "
        "Paths, URLs and data URIs work too.",
        "Leave model out unless the user asks for one; list_media_models and describe_media_model show what there is, "
        "and what each takes. Tools may take a little more than they list, such as options or save_to.",
        f"Toolsets on: {', '.join(toolsets)}." + (" Read-only: nothing that costs or changes." if read_only else ""),
    ]
    return "\n".join(lines)


class Parts:
    """The parts that the calls of one process share. They are made at the first call, so that start-up is fast and
    needs no network."""

    def __init__(self, settings: Settings, background: anyio.abc.TaskGroup, build: BuildApp | None) -> None:
        self._settings = settings
        self._background = background
        self._build = build

    @cached_property
    def app(self) -> "App":
        build = self._build or later.build_app
        return build(self._settings, self._background)

    @property
    def built(self) -> "App | None":
        """The app, if a call has needed it already."""
        return self.__dict__.get("app")

    def start_soon(self, work: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        """Run `work` in the background; it is cancelled when the process stops serving."""
        self._background.start_soon(work)

    async def close(self) -> None:
        """Close what was opened. This must be quick, because the process may be killed within a second."""
        if self.built is not None:
            await self.built.close()


class NovitaServer(MCPServer[Parts]):
    """An MCPServer that lists tools from stored data, and imports them once the host has the list or calls one."""

    def __init__(self, settings: Settings, pages: Pages, skills: Skills, **options: Any) -> None:
        with without("rich"):  # the SDK would log with it; we have our own logs
            super().__init__(**options)
        self._pages, self._skills = pages, skills
        self.closed = anyio.Event()
        """Set once the shared parts are closed; from then on the process may end at any moment."""
        self.shared: Parts | None = None
        """The parts that calls share; None unless the server runs."""
        self.watch: Watch | None = None
        """Counts and limits tool calls, on a server that several people share."""
        self.gate: Gate | None = None
        """Checks sign-in tokens, if the server has a sign-in."""
        self._chosen = settings
        self._secrets = learn_settings(settings)
        self._one_by_one = anyio.CapacityLimiter(1)
        self._warming, self._lull = False, Lull()
        # The SDK's decorator for this passes no context, but completing ids needs to know the caller.
        self._lowlevel_server.add_request_handler("completion/complete", CompleteRequestParams, self._complete)

    @cached_property
    def offered(self) -> dict[str, ListedTool]:
        """The tools that are on, by name, in the order of the list."""
        return {
            tool.name: ListedTool.model_validate(
                {**tool.listing, "icons": [ICONS[tool.toolset]], **self._pages.meta_of(tool)}
            )
            for tool in choose_tools(self._chosen)
        }

    def build_tool(self, name: str) -> None:
        """Make the pydantic types of an offered tool, and import what it needs."""
        if self._tool_manager.get_tool(name) is None:
            spec = load_tool(name, toolset_of(name))
            self._tool_manager._tools[name] = spec.build()  # pyright: ignore[reportPrivateUsage]  # add_tool takes no Tool

    def warm_up(self) -> None:
        """Import what calls need and build every tool, before the server listens."""
        load()
        load_quick_road()
        for name in self.offered:
            self.build_tool(name)

    async def _loaded(self) -> None:
        """Wait until all that calls need is imported. The event loop goes on answering other requests meanwhile."""
        if not is_loaded():
            for step in steps():  # one by one, so that a call waits for one toolset before its own at most
                await self._in_a_thread(step)

    async def _in_a_thread(self, work: Callable[[], T]) -> T:
        return await anyio.to_thread.run_sync(work, limiter=self._one_by_one, abandon_on_cancel=True)

    async def _warm_up_soon(self) -> None:
        self._lull.listed()
        await self._lull.of_first_calls()
        await self._in_a_thread(load_quick_road)
        for step in steps():
            await self._lull.of_calls()
            await self._in_a_thread(step)

    def _tool_input_schema(self, name: str) -> dict[str, Any] | None:
        found = self.offered.get(name)
        return None if found is None else found.input_schema

    async def followers(self) -> "Mapping[str, Follower]":
        """Kind of job -> its follower, for MCP tasks."""
        await self._loaded()
        return tools.FOLLOWERS

    @property
    def lowlevel(self) -> Server[Parts]:
        """The SDK's server under this one, which answers requests by their method."""
        return self._lowlevel_server

    async def converse(
        self,
        read: MemoryObjectReceiveStream[SessionMessage | Exception],
        write: MemoryObjectSendStream[SessionMessage],
    ) -> None:
        """Answer one client's messages until it sends no more."""
        await self._lowlevel_server.run(read, write, self._lowlevel_server.create_initialization_options())

    async def list_tools(self) -> list[ListedTool]:
        if not self._warming and self.shared is not None:
            self._warming = True
            self.shared.start_soon(self._warm_up_soon)
        return [*self.offered.values()]

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[Parts, Any] | None = None
    ) -> CallToolResult | InputRequiredResult:
        if name not in self.offered:
            error_result = await self._in_a_thread(lambda: later.error_result)
            return error_result(_unknown_tool(name, list(self.offered)))
        go = partial(super().call_tool, name, arguments, context)
        with self._lull.ended_by_a_call(first=(first := self._tool_manager.get_tool(name) is None)):
            if first:
                await self._in_a_thread(partial(self.build_tool, name))
            return await (self.watch.around(name, context, go, arguments) if self.watch else go())

    async def list_resources(self) -> list[Resource]:
        stored = (Resource.model_validate(found) for found in surface().resources)
        return [*stored, *self._pages.listed(), *self._skills.listed()]

    async def list_resource_templates(self) -> list[ResourceTemplate]:
        return [ResourceTemplate.model_validate(found) for found in surface().templates]

    async def read_resource(
        self, uri: AnyUrl | str, context: Context[Parts, Any] | None = None
    ) -> Iterable[ReadResourceContents]:
        if (found := self._pages.read(str(uri)) or self._skills.read(str(uri))) is not None:
            return [found]
        await self._loaded()
        return await later.resources_and_prompts.read(str(uri), context or Context(mcp_server=self))

    async def list_prompts(self) -> list[Prompt]:
        return [Prompt.model_validate(found) for found in surface().prompts]

    async def get_prompt(
        self, name: str, arguments: dict[str, Any] | None = None, context: Context[Parts, Any] | None = None
    ) -> GetPromptResult:
        await self._loaded()
        return later.resources_and_prompts.get_prompt(name, arguments)

    async def _complete(self, ctx: ServerRequestContext[Parts, Any], params: CompleteRequestParams) -> CompleteResult:
        await self._loaded()
        return await later.resources_and_prompts.complete(params, Context(request_context=ctx, mcp_server=self))


def create_app(settings: Settings, *, build: BuildApp | None = None, lease_delay: float = 20.0) -> NovitaServer:
    """The server, ready for a transport.

    Args:
        build: Makes the shared parts; `building.build_app` if not given.
        lease_delay: Seconds after the start at which leases are looked for, unless a call came first.

    Raises:
        SettingError: A toolset or tool is not known, or another setting cannot be used.
    """
    on = toolsets_on(settings)
    if settings.tools:
        choose_tools(settings)  # so that an unknown name is an error at the start

    @asynccontextmanager
    async def lifespan(_: MCPServer[Parts]) -> AsyncGenerator[Parts]:
        async with AsyncExitStack() as last, anyio.create_task_group() as background:
            server.shared = shared = Parts(settings, background, build)
            # The parts are closed after the background tasks have ended, because a cancelled task may still finish
            # a journal write.
            last.push_async_callback(_closed, server, shared)
            if settings.api_key:
                background.start_soon(_keep_leases, settings, shared, lease_delay)
            try:
                yield shared
            finally:
                background.cancel_scope.cancel()

    keys, pages = request_keys(settings), Pages(settings)
    skills = Skills(lambda: server.offered)
    server = NovitaServer(
        settings,
        pages,
        skills,
        name=NAME,
        title="Novita AI",
        version=version(),
        instructions=instructions(on, settings.read_only),
        website_url="https://novita.ai",
        icons=[ICON],
        lifespan=lifespan,
        extensions=[NovitaTasks(keys, lambda: server.followers()), pages, skills],
        middleware=[speak_well, declared_in_handshake(pages, skills)],
        subscriptions=False,  # nothing that is listed changes while a server runs
        cache_hints=dict.fromkeys(
            ("tools/list", "prompts/list", "resources/list", "resources/templates/list"), CacheHint(HOUR_MS, "public")
        ),
        request_state_security=RequestStateSecurity(keys=keys),
        log_level=settings.log_level,
    )
    hush_handlers()
    return server


async def _closed(server: "NovitaServer", shared: Parts) -> None:
    with anyio.CancelScope(shield=True):
        await shared.close()
        if server.gate is not None:
            await server.gate.close()
    server.closed.set()


async def _keep_leases(settings: Settings, shared: Parts, delay: float) -> None:
    """Make the shared parts without a call if a thing has a lease, because the lease must end it even if no call
    comes."""
    # Not at once: hosts start short-lived copies to probe the server, and start-up must stay fast.
    await anyio.sleep(delay)
    leases_wait = await anyio.to_thread.run_sync(lambda: later.leases_wait, abandon_on_cancel=True)
    if await leases_wait(settings):
        _ = shared.app  # building it starts the watch


def toolsets_on(settings: Settings) -> list[str]:
    """Names of the toolsets that are on, in the order a host lists their tools.

    Raises:
        SettingError: A name is not known.
    """
    wanted = parts(settings.toolsets)
    for name in wanted:
        if name.removeprefix("-") not in tools.TOOLSET_NAMES and name not in ("all", "default"):
            raise SettingError(f"no toolset is called {name!r}; there are: {', '.join(tools.TOOLSET_NAMES)}")
    return [
        name
        for name, switch in tools.TOOLSET_NAMES.items()
        if f"-{name}" not in wanted
        and (
            switch == "always"
            or name in wanted
            or "all" in wanted
            or ("default" in wanted and switch == "on")
            or (name == "sign_in" and settings.oauth_issuer and not settings.team_key)
        )
    ]


def choose_tools(settings: Settings) -> list[OfferedTool]:
    """The tools to offer, in the order a host lists them.

    Raises:
        SettingError: A single tool is not known.
    """
    on, singles = toolsets_on(settings), parts(settings.tools)
    every = surface().tools
    known = {tool.name for tool in every}
    for name in singles:
        if name not in known:
            raise SettingError(f"no tool is called {name!r}; `novita-mcp tools list --toolsets all` shows all")
    return [
        tool
        for tool in every
        if (tool.toolset in on or tool.name in singles) and (tool.read_only or not settings.read_only)
    ]


def _unknown_tool(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    return (
        f"There is no tool {name[:60]!r} here.{hint} Nothing was sent or billed. "
        "The user can switch on more with --toolsets."
    )
