"""Toolsets, the declared effects of tools, and the conversion of results and errors into MCP answers.

The `tool` decorator only registers a function and returns it unchanged. `NovitaTool` does what the SDK's Tool does, but
with closed flat schemas, answers whose text and structure are each complete, and errors written for the model.
"""

import base64
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, partial
from typing import Annotated, Any, TypeVar, cast, get_type_hints

from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.tools import Tool
from mcp.server.mcpserver.utilities.func_metadata import FuncMetadata, func_metadata
from mcp_types import (
    Annotations,
    CallToolResult,
    ContentBlock,
    ImageContent,
    InputRequiredResult,
    TextContent,
    ToolAnnotations,
)
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError

from ...novita.core.errors import NovitaError
from ...novita.core.redaction import redact, without_secrets
from ...novita.core.sent import watch_sending
from ...novita.core.waiting import telling_of_waiting
from .answer_text import as_one, plain
from .argument_reading import AGAIN, ArgumentError, read_again, read_arguments, unwrapped
from .asking import NeedsAnswer, NotConfirmed
from .context import Caller, open_call
from .delivery import note_delivery
from .key_entry import where_to_enter_a_key
from .schemas import flat_schema, listed_answer, listed_arguments

logger = logging.getLogger(__name__)

LONGEST_ANSWER = 28_000
"""The most characters in an answer's text: about 8,000 tokens."""

F = TypeVar("F", bound=Callable[..., Awaitable["ToolResult"]])


@dataclass(frozen=True)
class Effect:
    """What a tool does to the world, as MCP hints."""

    read_only: bool
    destructive: bool
    idempotent: bool
    spends: bool = False
    joins: bool = False
    """Whether a call that asks for the same joins the work of an earlier one."""

    def annotations(self, title: str) -> ToolAnnotations:
        return ToolAnnotations(
            title=title,
            read_only_hint=self.read_only,
            destructive_hint=self.destructive,
            idempotent_hint=self.idempotent,
            open_world_hint=True,
        )


READS = Effect(read_only=True, destructive=False, idempotent=True)
SPENDS = Effect(read_only=False, destructive=False, idempotent=False, spends=True, joins=True)
SPENDS_ANEW = replace(SPENDS, joins=False)
"""For chats: costs money, and each call is made anew."""
WRITES = Effect(read_only=False, destructive=False, idempotent=False)
"""Changes something, is free and destroys nothing."""
DESTROYS = Effect(read_only=False, destructive=True, idempotent=True)


FOR_BOTH = Annotations(audience=["assistant", "user"], priority=1.0)
"""For the text of answers and errors, which both the user and the model should read."""
_TO_LOOK_AT = Annotations(audience=["user", "assistant"], priority=0.7)
"""For small pictures, which are mainly for people; a host with little room may omit them."""


class Picture(BaseModel):
    """A small picture shown beside the text."""

    data: bytes
    mime: str


class ToolResult(BaseModel):
    """Base of every tool's answer: fields become structuredContent, `headline` plus the same fields become text.

    Fields that are None are left out of both.
    """

    model_config = ConfigDict(extra="forbid")

    _pictures: list[Picture] = PrivateAttr(default_factory=list[Picture])

    def headline(self) -> str:
        """One or two sentences a person would say first. The fields follow it in the text."""
        return ""

    def show(self, pictures: Iterable[Picture]) -> None:
        """Put pictures beside the text."""
        self._pictures.extend(pictures)

    def take_over(self, other: "ToolResult") -> None:
        """Take over another answer's pictures, and the data that its headline is made of."""
        mine = self.__pydantic_private__ or {}
        self.__pydantic_private__ = {**mine, **(other.__pydantic_private__ or {})}

    def pictures(self) -> Sequence[Picture]:
        """The pictures beside the text."""
        return tuple(self._pictures)

    def for_reading(self, fields: dict[str, Any]) -> dict[str, Any]:
        """The fields that the text repeats: all of them, unless a subclass overrides this."""
        return fields

    def reveals(self) -> Iterable[str]:
        """Secrets that this answer is meant to show."""
        return ()

    def to_mcp(self) -> CallToolResult:
        """The answer as a host gets it, without secrets."""
        shown = frozenset(self.reveals())
        whole = (self.model_dump(mode="json", exclude_none=True), self.headline())
        structured, headline = without_secrets(whole, but=shown)
        text = "\n".join(part for part in (as_one(headline), plain(self.for_reading(structured))) if part)
        content: list[ContentBlock] = [TextContent(type="text", text=text, annotations=FOR_BOTH)]
        content += [
            ImageContent(
                type="image",
                data=base64.b64encode(picture.data).decode(),
                mime_type=picture.mime,
                annotations=_TO_LOOK_AT,
            )
            for picture in self._pictures
        ]
        return CallToolResult(content=content, structured_content=structured)


CountedUsd = Annotated[
    str | None, Field(description="Where the price is not known: what spending limits count for it, in USD.")
]
"""A field of every answer about something that costs money."""


@dataclass(frozen=True)
class ToolSpec:
    """A tool as its module declares it."""

    fn: Callable[..., Awaitable[ToolResult]]
    title: str
    effect: Effect

    @property
    def name(self) -> str:
        return self.fn.__name__

    def build(self) -> "NovitaTool":
        """The SDK's tool, with schemas made from the function's signature. It is made once and then kept."""
        return _built(self)


@dataclass
class Toolset:
    """A named group of tools, on or off as a whole; `overview/toolset_names.py` says which are on by default."""

    name: str
    description: str
    tools: list[ToolSpec] = field(default_factory=list[ToolSpec])

    def tool(self, title: str, effect: Effect) -> Callable[[F], F]:
        """A decorator that registers a function and returns it unchanged."""

        def remember(fn: F) -> F:
            self.tools.append(ToolSpec(fn, title, effect))
            return fn

        return remember

    def spec(self, name: str) -> ToolSpec | None:
        """The tool of this name, if it is registered already."""
        return next((spec for spec in self.tools if spec.name == name), None)


class NovitaTool(Tool):
    """The SDK's Tool with our answers: errors are results that the model can act on, and no secret leaks."""

    _effect: Effect = PrivateAttr(default=READS)
    _taken: dict[str, Any] = PrivateAttr(default_factory=dict[str, Any])

    @cached_property
    def answers(self) -> type[ToolResult]:
        """The type of its answers."""
        return get_type_hints(self.fn)["return"]

    @cached_property
    def output_schema(self) -> dict[str, Any]:
        """The listed schema of its answers. No call needs it."""
        return listed_answer(flat_schema(self.answers, mode="serialization"))

    @property
    def taken(self) -> dict[str, Any]:
        """The schema of all arguments that a call may give; `parameters` is the part that is listed."""
        return self._taken

    async def run(self, arguments: dict[str, Any], context: Any, convert_result: bool = False) -> Any:
        """Call the tool. With `convert_result` the answer, or the error, comes as a CallToolResult."""
        again = False
        try:
            arguments = dict(unwrapped(self._taken, arguments))
            if self._effect.spends and AGAIN not in self._taken.get("properties", {}):
                again, arguments = read_again(arguments)
            arguments = read_arguments(self._taken, arguments)
        except ArgumentError as error:
            return error_result(f"{error} Nothing was sent or billed.")
        # Tools take a Caller where the SDK's tools take its Context.
        caller = open_call(context, self.name, arguments)
        caller.meant, caller.again, caller.joins = partial(self._meant, arguments), again, self._effect.joins
        caller.answers = self.answers
        answer = await note_delivery(caller, partial(self._answer, arguments, caller, convert_result))
        return _with_news(answer, caller) if isinstance(answer, CallToolResult) else answer

    def _meant(self, arguments: dict[str, Any]) -> dict[str, Any]:
        return self.fn_metadata.arg_model.model_validate(arguments).model_dump(mode="json", exclude_defaults=True)

    async def _answer(self, arguments: dict[str, Any], caller: Caller, convert_result: bool) -> Any:
        sent = watch_sending()
        try:
            with telling_of_waiting(caller.progress):
                result: object = await super().run(arguments, cast(Any, caller), convert_result=False)
        except ToolError as error:
            cause = error.__cause__
            if isinstance(cause, NeedsAnswer):
                return cause.request
            if isinstance(cause, NotConfirmed):
                return self._unconfirmed(cause)
            if isinstance(cause, NovitaError):
                answer = where_to_enter_a_key(caller, cause) or str(cause)
                return error_result(answer) if isinstance(answer, str) else answer
            if isinstance(cause, ValidationError) and cause.title == self.fn_metadata.arg_model.__name__:
                return error_result(_bad_arguments(self.name, cause, self._taken))
            logger.exception("tool %s crashed", self.name)
            fault = f"{self.name} hit a fault in novita-mcp itself ({type(cause).__name__})"
            if not sent.anything:
                return error_result(f"{fault}. Nothing was sent that costs, and nothing was billed. Please report it.")
            return error_result(
                f"{fault}; it may or may not have been billed. Look at list_tasks and get_balance before trying again, "
                "and report it."
            )
        finally:
            caller.hold.release()
        if not convert_result or isinstance(result, InputRequiredResult):
            return result
        return cast(ToolResult, result).to_mcp()

    def _unconfirmed(self, asked: NotConfirmed) -> CallToolResult:
        """The answer that shows price and effect, and says how to agree by a second call."""
        question = asked.question
        again = f"If the user agrees, call {self.name} again with confirm=true."
        step = " ".join(part for part in ("Nothing was sent or billed.", question.text, question.hint, again) if part)
        fields = {"status": "needs_confirmation", **question.fields, "next_step": step}
        return self.answers.model_validate(fields).to_mcp()


class _AsRead(FuncMetadata):
    """The SDK's metadata, without its parsing of JSON texts, which read_arguments has done already.

    The arguments are also put into the call, as `Caller.given`.
    """

    async def call_fn(
        self,
        fn: Callable[..., Any],
        fn_is_async: bool,
        arguments: dict[str, Any],
        arguments_to_pass_directly: dict[str, Any] | None = None,
    ) -> Any:
        direct = arguments_to_pass_directly or {}
        cast(Caller, direct["call"]).given = arguments
        return await super().call_fn(fn, fn_is_async, arguments, direct)

    def pre_parse_json(self, data: dict[str, Any]) -> dict[str, Any]:
        return data


def _with_news(answer: CallToolResult, caller: Caller) -> CallToolResult:
    """The answer with the journal's news since the last one. On a team's server it is omitted, because its users have
    no access to the journal."""
    if caller.app.settings.http or not (news := caller.app.journal.take_news()):
        return answer
    shown = TextContent(type="text", text=f"Tell the user: {news}", annotations=FOR_BOTH)
    return answer.model_copy(update={"content": [*answer.content, shown]})


@cache
def _built(spec: ToolSpec) -> NovitaTool:
    loose = func_metadata(spec.fn, skip_names=["call"], structured_output=False).arg_model
    # Some hosts turn every text that looks like a number into a number: a year to search for, a port.
    config = cast(ConfigDict, {**loose.model_config, "extra": "forbid", "coerce_numbers_to_str": True})
    closed = type(loose.__name__, (loose,), {"model_config": config, "__module__": loose.__module__})
    taken = flat_schema(closed)
    tool = NovitaTool(
        fn=spec.fn,
        name=spec.name,
        title=spec.title,
        description=" ".join((spec.fn.__doc__ or "").split()),
        parameters=listed_arguments(taken),
        fn_metadata=_AsRead(arg_model=closed),
        is_async=True,
        context_kwarg="call",
        annotations=spec.effect.annotations(spec.title),
    )
    tool._taken, tool._effect = taken, spec.effect  # pyright: ignore[reportPrivateUsage]  # a class and its maker
    return tool


def error_result(text: str) -> CallToolResult:
    """An error as text. It has no structuredContent, which strict clients check against the schema even for errors."""
    shown = TextContent(type="text", text=as_one(redact(text)), annotations=FOR_BOTH)
    return CallToolResult(content=[shown], is_error=True)


def _bad_arguments(tool: str, error: ValidationError, taken: dict[str, Any]) -> str:
    """Which argument is wrong and why. The value is not repeated, since it may be a secret."""
    lines: list[str] = []
    for problem in error.errors(include_url=False, include_input=False)[:8]:
        where = ".".join(str(part) for part in problem["loc"]) or "arguments"
        bounds: dict[str, float] = taken.get("properties", {}).get(where, {})
        least, most = bounds.get("minimum"), bounds.get("maximum")
        beyond = problem["type"] in ("greater_than_equal", "less_than_equal") and least is not None and most is not None
        lines.append(f"{where}: {f'must be {least:g} to {most:g}' if beyond else problem['msg']}")
    return f"Bad arguments for {tool}: {'; '.join(lines)}. Nothing was sent or billed."
