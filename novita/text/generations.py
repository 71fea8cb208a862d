"""What a language model has said so far: chunks and whole answers in any spelling seen, put together.

Servers of models differ: tool calls come with one index for all or none, arguments as an object, thoughts under four
names, content as parts. Here all of them become text, reasoning and calls; nothing is dropped without a word.
"""

import json
from dataclasses import dataclass, field
from typing import Any, Literal

from ..core.answers import a_count, a_list, a_text, an_object, objects
from ..core.json_text import Json, is_object, load_strict, well_formed_json
from ..core.wellformed import well_formed
from .language_models import count_tokens
from .thoughts import part_calls, part_thoughts, read_channels

Ending = Literal["done", "cut", "error", "silent", "too_long", "empty", "refused", "broken_call"]

_THOUGHTS = (
    *("reasoning_content", "reasoning", "thinking", "reasoning_text", "thought", "thoughts"),
    *("reasoning_details", "thinking_blocks"),
)
"""Where thoughts are found, the first that holds any: servers that send two spellings send the same under both."""

_THOUGHT_PARTS = frozenset({"thinking", "reasoning", "reasoning_content", "reasoning.text", "reasoning.summary"})
_LENGTH = frozenset({"max_tokens", "max_output_tokens", "max_new_tokens", "max_length", "token_limit", "model_length"})
"""What other servers call an answer that was cut at its longest allowed length."""

_MEDIA_PARTS = frozenset({"image", "image_url", "output_image", "audio", "output_audio", "video", "video_url", "file"})


@dataclass
class ToolCall:
    """A function the model wants called. `arguments` is the JSON text as it came."""

    id: str = ""
    name: str = ""
    arguments: str = ""

    def parsed(self) -> Json | None:
        """The arguments as an object; None if they are not one."""
        found = _values(self.arguments)
        if found is None:
            return None
        # A placeholder before the true arguments, and the whole of them once more at the end, are both known habits.
        told = [value for value in found if value not in ({}, None)]
        if any(value != told[0] for value in told):
            return None
        if not told:
            return {}
        first: Any = told[0]
        if isinstance(first, str):  # JSON within JSON
            inner = _values(first) or []
            first = inner[0] if len(inner) == 1 else None
        return an_object(first) if isinstance(first, dict) else None

    @property
    def complete(self) -> bool:
        """Whether the arguments are whole JSON, so that what comes next is something new."""
        return bool(self.arguments.strip()) and _values(self.arguments) is not None

    def add_name(self, piece: str) -> None:
        """Add a piece of the name; some servers send the whole name with every piece."""
        self.name = piece if piece.startswith(self.name) else self.name + piece

    def add_arguments(self, given: Any) -> None:
        """Add a piece: text as it stands, an object as its JSON. Objects that grow replace what came before."""
        if given is None:
            return
        if isinstance(given, str):
            self.arguments += given
            return
        before = self.parsed() if self.arguments else None
        whole = {**before, **given} if before and is_object(given) else given
        self.arguments = ("" if before is not None else self.arguments) + json.dumps(whole, ensure_ascii=False)


def _values(text: str) -> list[Any] | None:
    """The JSON values that follow each other in a text; None if anything else is in it."""
    try:
        return [load_strict(text)] if text.strip() else []
    except ValueError:
        pass
    decoder, found, place = json.JSONDecoder(), list[Any](), 0
    try:
        while place < len(text):
            value, end = decoder.raw_decode(text, place)
            load_strict(text[place:end])
            found.append(value)
            place = end + len(text[end:]) - len(text[end:].lstrip())
    except (ValueError, RecursionError):
        return None
    return found


@dataclass
class Choice:
    """One answer, as far as it has come.

    Args:
        refusal: What the model said in place of an answer, where it declined.
        left_out: Kinds of content that came and cannot be shown as text.
    """

    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    calls: list[ToolCall] = field(default_factory=list[ToolCall])
    finish_reason: str | None = None
    logprobs: list[Json] = field(default_factory=list[Json])
    left_out: dict[str, None] = field(default_factory=dict[str, None])
    _at: dict[int, ToolCall] = field(default_factory=dict[int, ToolCall], repr=False)

    @property
    def says_something(self) -> bool:
        """Whether it holds an answer, and not only thoughts."""
        return bool(self.text.strip() or self.calls)

    def take(self, raw: Json) -> bool:
        """Add a choice of a chunk (`delta`), of a whole answer (`message`) or of a completion (`text`).

        Returns:
            Whether anything of the answer was in it.
        """
        delta = an_object(raw.get("delta")) or an_object(raw.get("message"))
        again = not raw.get("delta") and bool(self.text) and delta.get("content") == self.text
        before = (self.text, self.reasoning, self.refusal, len(self.left_out))
        if not again:  # some servers end a stream with the whole message once more
            bare: Any = raw.get("delta") or raw.get("message")
            self._take_content(bare if isinstance(bare, str) else delta.get("content"))
        if self.text == before[0] and not again:
            self._take_content(raw.get("text"))
        self.text += a_text(an_object(delta.get("audio")).get("transcript"))
        self.refusal += a_text(delta.get("refusal"))
        thoughts = next((said for name in _THOUGHTS if name in delta and (said := _thought(delta[name]))), "")
        if not (again and thoughts == self.reasoning):
            self.reasoning += thoughts
        calls = _listed(delta.get("tool_calls"))
        if not calls and delta.get("function_call"):  # before there were tools
            calls = objects(delta["function_call"])
        if not (again and self.calls):
            self._take_calls(calls)
        if isinstance(raw.get("logprobs"), dict):
            self.logprobs.append(raw["logprobs"])
        reason: Any = raw.get("finish_reason")
        if isinstance(reason, str) and reason.strip():
            told = well_formed(reason.strip().casefold())
            self.finish_reason = "length" if told in _LENGTH else told
        return bool(calls) or before != (self.text, self.reasoning, self.refusal, len(self.left_out))

    def _take_content(self, content: Any) -> None:
        """Add content: text, parts, or JSON that stands where text should."""
        if content is None:
            return
        if isinstance(content, str):
            self.text += content
            return
        parts = a_list(content) if isinstance(content, list) else [content]
        if isinstance(content, dict) and not isinstance(an_object(content).get("type"), str):
            inner = an_object(content).get("text")
            parts = [inner if isinstance(inner, str) else json.dumps(content, ensure_ascii=False)]
        for part in parts:
            self._take_part(part)

    def _take_part(self, part: Any) -> None:
        if not isinstance(part, dict):
            said = part if isinstance(part, str) else "" if part is None else json.dumps(part)
            self.text += said
            return
        held = an_object(part)
        kind = a_text(held.get("type")).casefold()
        if kind == "refusal":
            self.refusal += a_text(held.get("refusal")) or _words(held)
        elif kind in _THOUGHT_PARTS:
            self.reasoning += _thought(held)
        elif kind in _MEDIA_PARTS:
            link = _link(held)
            if link:
                self.text += link
            else:
                self.left_out[kind] = None
        elif said := _words(held):
            self.text += said
        elif held.keys() - {"type", "text", "index", "id", "annotations"}:
            self.left_out[well_formed(kind)[:40] or "content of no kind"] = None

    # Which call a piece belongs to ------------------------------------------------------------------------------------

    def _take_calls(self, parts: list[Json]) -> None:
        begun: list[ToolCall] = []  # calls that this chunk began: two parts that both bring a name are two calls
        for number, part in enumerate(parts):
            function = an_object(part.get("function")) or an_object(part.get("custom")) or part
            call_id, name = a_text(part.get("id")), a_text(function.get("name"))
            index = a_count(part.get("index"))
            here = self._candidate(index, call_id, name, number if len(parts) > 1 else None, begun)
            if here is None or _begins(here, call_id, name, begun):
                here = ToolCall(call_id)
                self.calls.append(here)
            if index is not None:
                self._at[index] = here
            here.id = here.id or call_id
            here.add_name(name)
            if name:
                begun.append(here)
            here.add_arguments(next((function[name] for name in _ARGUMENTS if function.get(name) is not None), None))

    def _candidate(
        self, index: int | None, call_id: str, name: str, number: int | None, begun: list[ToolCall]
    ) -> ToolCall | None:
        """The call that a piece seems to continue; None if there is none."""
        known = [call for call in self.calls if call_id and call.id == call_id and call not in begun]
        if index is not None and index not in self._at:
            # Servers without ids of their own give all calls the same one: a new index with a name is a new call.
            if name:
                return None
            return known[-1] if known else self.calls[-1] if self.calls and not call_id else None
        if known and (index is None or self._at[index] not in known):
            return known[-1]
        if index is not None:
            return self._at[index]
        if number is not None and not name and not call_id and number < len(self.calls):
            return self.calls[number]
        return self.calls[-1] if self.calls else None

    def part_inline_reasoning(self) -> None:
        """Move reasoning and calls that a model wrote into its answer to where they belong."""
        channels = read_channels(self.text)
        if channels is not None:
            self.text, thought, written = channels.text, channels.thoughts, channels.calls
        else:
            self.text, thought = part_thoughts(self.text, bool(self.reasoning))
            written = list[tuple[str, str]]()
        if not self.calls and not written:
            self.text, written = part_calls(self.text)
        self.calls = self.calls or [ToolCall("", name, arguments) for name, arguments in written]
        if thought and thought != self.reasoning.strip():
            self.reasoning = f"{self.reasoning}\n{thought}" if self.reasoning else thought

    def tidy(self) -> None:
        """What is left to do at the end: join letters that came in halves, part thoughts from text, name the calls."""
        self.text, self.reasoning = well_formed(self.text), well_formed(self.reasoning)
        self.refusal = well_formed(self.refusal)
        if self.logprobs:
            self.logprobs = well_formed_json(self.logprobs)
        for call in self.calls:
            call.id, call.name = well_formed(call.id), well_formed(call.name)
            call.arguments = well_formed(call.arguments)
        self.part_inline_reasoning()
        self._name_calls()

    def _name_calls(self) -> None:
        """Give every call its own id, so that its answer can name it. A call with nothing in it is dropped."""
        self.calls = [call for call in self.calls if call.name or call.arguments]
        taken: set[str] = set()
        for number, call in enumerate(self.calls, 1):
            wanted = call.id or f"call_{number}"
            while wanted in taken:
                wanted = f"{wanted}_{number}"
            call.id = wanted
            taken.add(wanted)


def _begins(here: ToolCall, call_id: str, name: str, begun: list[ToolCall]) -> bool:
    """Whether a piece begins the next call instead of continuing this one."""
    if name and any(here is call for call in begun):
        return True
    if call_id and here.id and here.id != call_id:
        # Another id is another call, except with servers that make up a new id for every piece.
        return bool(name) or here.complete or not here.name
    if not name or not here.name or (call_id and here.id == call_id):
        return False
    # Its name once more, or the next piece of its name; after whole arguments it is the next call.
    return here.complete or bool(here.arguments and here.name != name)


_ARGUMENTS = ("arguments", "input", "parameters", "args")
"""Where the arguments of a call may be. The first of these that holds any is read."""


def _listed(calls: Any) -> list[Json]:
    """Tool calls as a list; some servers send an object of them by their numbers."""
    held = an_object(calls)
    if held and not held.keys() & {"function", "name", "id", "arguments"}:
        return objects(list(held.values()))
    return objects(calls)


def _words(part: Json) -> str:
    """The text of a part, in any spelling."""
    for name in ("text", "content", "value", "output_text"):
        held: Any = part.get(name)
        if isinstance(held, dict):
            held = an_object(held).get("value") or an_object(held).get("text")
        if isinstance(held, str) and held:
            return held
    return ""


def _thought(value: Any, depth: int = 4) -> str:
    """Thoughts as text, an object or parts."""
    if isinstance(value, str):
        return value
    if not depth:
        return ""
    if isinstance(value, list):
        return "".join(_thought(one, depth - 1) for one in a_list(value))
    held = an_object(value)
    named = (_thought(held[name], depth - 1) for name in ("thinking", "reasoning", "summary") if name in held)
    return next(filter(None, named), "") or _words(held)


def _link(part: Json) -> str:
    """The link of a picture or sound in an answer; empty if it came as data."""
    for name in ("image_url", "video_url", "audio_url", "url", "file_url"):
        held: Any = part.get(name)
        found = a_text(an_object(held).get("url")) if isinstance(held, dict) else a_text(held)
        if found.startswith(("http://", "https://")):
            return found
    return ""


@dataclass
class Usage:
    """Tokens. `exact` says whether Novita counted them or we did."""

    prompt: int = 0
    completion: int = 0
    reasoning: int = 0
    cached: int = 0
    exact: bool = False


def read_usage(raw: Any) -> Usage | None:
    """Novita's count of tokens; None if it cannot be read."""
    held = an_object(raw)
    prompt, made = (
        next((found for name in names if (found := a_count(held.get(name))) is not None), None)
        for names in (("prompt_tokens", "input_tokens"), ("completion_tokens", "output_tokens"))
    )
    total = a_count(held.get("total_tokens"))
    if made is None and prompt is not None and total is not None:
        made = max(0, total - prompt)
    if prompt is None or made is None:
        return None
    return Usage(
        prompt=prompt,
        completion=made,
        reasoning=a_count(an_object(held.get("completion_tokens_details")).get("reasoning_tokens")) or 0,
        cached=min(prompt, a_count(an_object(held.get("prompt_tokens_details")).get("cached_tokens")) or 0),
        exact=True,
    )


@dataclass
class Generation:
    """What one request has made so far. `trouble` says in a sentence why it ended early.

    Args:
        events: Good events read.
        spoilt: Events that could not be read and were left out.
        pieces: Events with something of the answer in them.
    """

    prompt_tokens: int
    model: str = ""
    id: str = ""
    choices: dict[int, Choice] = field(default_factory=dict[int, Choice])
    counted: Usage | None = None
    ending: Ending | None = None
    trouble: str = ""
    events: int = 0
    spoilt: int = 0
    pieces: int = 0

    @classmethod
    def of_whole(cls, answer: Json) -> "Generation":
        """What a whole answer says. It counts as complete unless there is nothing in it."""
        made = cls(0, ending="done")
        made.take(answer)
        made.finish()
        return made

    @property
    def first(self) -> Choice:
        """The first answer that says something, or simply the first."""
        if not self.choices:
            return self.choices.setdefault(0, Choice())
        inorder = [choice for _, choice in sorted(self.choices.items())]
        return next((choice for choice in inorder if choice.says_something), inorder[0])

    @property
    def others(self) -> list[Choice]:
        """The further answers to the same prompt, in order."""
        first = self.first
        return [choice for _, choice in sorted(self.choices.items()) if choice is not first]

    @property
    def text(self) -> str:
        """The first answer so far, or its reasoning if there is nothing else."""
        return well_formed(self.first.text or self.first.reasoning)

    @property
    def whole(self) -> bool:
        return self.ending == "done"

    @property
    def state(self) -> str:
        """What the model is doing now, in a few words."""
        if not self.pieces:
            return "waiting for the first token"
        return "writing" if any(choice.text or choice.calls for choice in self.choices.values()) else "thinking"

    @property
    def usage(self) -> Usage:
        """Novita's count of tokens if it came, else ours."""
        # A count that came before the words of a stream that then broke does not include those words.
        if self.counted is not None and (self.counted.completion or not self.pieces):
            return self.counted
        texts = [choice.text + "".join(call.arguments for call in choice.calls) for choice in self.choices.values()]
        reasoning = sum(count_tokens(choice.reasoning) for choice in self.choices.values())
        # A piece is usually one token. Both counts are guesses, and the larger one is safer.
        made = max(self.pieces, reasoning + sum(count_tokens(text) for text in texts))
        return Usage(self.prompt_tokens, made, reasoning)

    def take(self, data: Json) -> None:
        """Add one chunk, or a whole answer, of either route."""
        self.events += 1
        self.id = self.id or well_formed(a_text(data.get("id")))
        self.model = well_formed(a_text(data.get("model"))) or self.model
        self.counted = read_usage(data.get("usage")) or self.counted
        for number, raw in enumerate(objects(data.get("choices"))):
            index = a_count(raw.get("index"))
            if self.choices.setdefault(number if index is None else index, Choice()).take(raw):
                self.pieces += 1

    def finish(self) -> None:
        """Finish at the end: separate thoughts, name the calls, and mark an answer that has nothing in it."""
        for choice in self.choices.values():
            choice.tidy()
        if not self.whole:
            return
        first = self.first
        if first.refusal or first.finish_reason in ("content_filter", "refusal"):
            self.ending, self.trouble = "refused", "The model declined to answer"
            if not first.text.strip():
                first.text = first.refusal
        elif not any(choice.says_something for choice in self.choices.values()):
            self.ending = "empty"
            self.trouble = (
                "The model thought and gave no answer" if first.reasoning else "The model's answer has nothing in it"
            )
            if first.left_out:
                self.trouble = f"The answer is {' and '.join(first.left_out)}, which cannot be shown as text"
        elif any(not call.name for call in first.calls):
            self.ending, self.trouble = "broken_call", "A call of the model names no function"
        elif first.finish_reason == "length" and first.calls and first.calls[-1].parsed() is None:
            self.ending, self.trouble = "broken_call", "A call of the model was cut by its length"
