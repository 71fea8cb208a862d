"""What hosts put into calls that nobody meant, and how people spell things: read alike by all tools.

The cases were reported of other servers: CrewAI, LlamaIndex, Langflow and n8n send null for what is not set; OpenAI's
strict mode, Cursor and opencode send blanks; Claude Desktop sends lists as text.
"""

import json
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from novita_mcp.simulator.core.world import World
from novita_mcp.simulator.serving import Running
from novita_mcp.tools import TOOLSETS
from novita_mcp.tools.kit.argument_reading import BROUGHT_WITHIN, ArgumentError, read_arguments, unknown_argument

from ...building import quick
from ...conftest import Connect, text_of
from ..one_call_per_tool import CALLS, Things

Json = dict[str, Any]

TOOLS: dict[str, Json] = {spec.name: spec.build().taken for toolset in TOOLSETS for spec in toolset.tools}
SPENDING = {spec.name for toolset in TOOLSETS for spec in toolset.tools if spec.effect.spends}
BLANKS: list[Any] = [None, "", [], {}]


def optional(tool: str) -> list[str]:
    schema = TOOLS[tool]
    return [name for name in schema["properties"] if name not in schema.get("required", [])]


def least(tool: str) -> Json:
    """What a tool cannot do without, of the right type."""
    some = {"string": "x", "integer": 1, "number": 1, "boolean": True, "array": ["x"], "object": {"x": "x"}}
    schema = TOOLS[tool]
    return {
        name: schema["properties"][name].get("enum", [some[schema["properties"][name]["type"]]])[0]
        for name in schema.get("required", [])
    }


@given(st.data())
def test_any_optional_argument_that_is_null_or_empty_is_as_if_it_were_not_there(data: st.DataObject) -> None:
    tool = data.draw(st.sampled_from(sorted(TOOLS)))
    blanks = data.draw(st.dictionaries(st.sampled_from(optional(tool) or ["x"]), st.sampled_from(BLANKS)))
    if not optional(tool):
        blanks = {}

    assert read_arguments(TOOLS[tool], {**blanks, **least(tool)}) == least(tool)


@pytest.mark.slow
@pytest.mark.parametrize("blank", BLANKS, ids=json.dumps)
async def test_every_tool_answers_as_if_blank_arguments_were_not_there(
    blank: Any, connect: Connect, world: World, simulator: Running, tmp_path: Path, era: str
) -> None:
    if era == "legacy":
        pytest.skip("the same in both eras: arguments are read behind them")
    things = Things(tmp_path, world, simulator.url)
    async with connect(toolsets="all", build=quick) as client:
        for tool in TOOLS:
            given = CALLS[tool](things) if tool in CALLS else least(tool)
            if tool in SPENDING:
                given["dry_run"] = True
            blanks = {name: blank for name in optional(tool) if name not in given}

            plain = await client.call_tool(tool, given)
            blanked = await client.call_tool(tool, {**blanks, **given})

            assert _without_ids(text_of(blanked)) == _without_ids(text_of(plain)), tool


def _without_ids(text: str) -> str:
    """What was made twice has two ids, and what is told twice was used at two times."""
    return re.sub(r"T\d\d:\d\d:\d\dZ", "T", re.sub(r"[a-z-]*0000[0-9a-f]+", "an id", text))


async def test_a_blank_checkpoint_does_not_change_the_model(connect: Connect, world: World) -> None:
    async with connect(build=quick) as client:
        for blanks in ({}, {"checkpoint": "", "confirm": None}):
            answer = await client.call_tool("generate_image", {"prompt": "fox", **blanks})
            assert (answer.structured_content or {})["status"] == "succeeded", text_of(answer)

    plain, blank = (request.path for request in world.requests if request.method == "POST")
    assert blank == plain


@pytest.mark.parametrize("prompt", ['{"name": "Ada", "age": 36}', "null", "[1, 2]", "true", "7", '"quoted"', " {"])
async def test_a_text_that_is_json_reaches_the_model_letter_for_letter(
    prompt: str, connect: Connect, world: World
) -> None:
    async with connect(build=quick) as client:
        answer = await client.call_tool("chat", {"prompt": prompt, "dry_run": True})

    assert not answer.is_error, text_of(answer)
    shown: Json = answer.structured_content or {}
    assert shown["request"]["body"]["messages"][-1]["content"] == prompt


@pytest.mark.parametrize(
    ("tool", "arguments", "read"),
    [
        ("create_embeddings", {"texts": '["a", "b"]'}, {"texts": ["a", "b"]}),
        ("chat", {"messages": '[{"role": "user"}]'}, {"messages": [{"role": "user"}]}),
        ("generate_image", {"prompt": "x", "options": '{"steps": 4}'}, {"prompt": "x", "options": {"steps": 4}}),
        ("generate_image", {"prompt": "x", "options": r'{"a": "\ud83d"}'}, {"prompt": "x", "options": {"a": "\ufffd"}}),
        ("generate_image", {"prompt": "x", "options": "null"}, {"prompt": "x"}),
        ("generate_image", {"prompt": "x", "options": " "}, {"prompt": "x"}),
        ("edit_image", {"image": "[a].png", "images": "[]"}, {"image": "[a].png"}),
        ("create_embeddings", {"texts": "a fox"}, {"texts": ["a fox"]}),
        ("create_embeddings", {"texts": '{"a": 1}'}, {"texts": ['{"a": 1}']}),
        ("create_embeddings", {"texts": '["a", "b'}, {"texts": '["a", "b'}),
        ("create_embeddings", {"texts": ["a", ""]}, {"texts": ["a", ""]}),
        ("edit_image", {"image": "x", "images": "[a].png"}, {"image": "x", "images": ["[a].png"]}),
        ("edit_image", {"image": "x", "images": ["", None, "y"]}, {"image": "x", "images": ["y"]}),
        ("edit_image", {"image": "x", "images": [None, ""]}, {"image": "x"}),
        ("get_sandbox", {"sandbox_id": "x", "ports": 80}, {"sandbox_id": "x", "ports": [80]}),
        ("create_gpu_instance", {"ports": "80/http"}, {"ports": ["80/http"]}),
        ("edit_image", {"image": ["a.png"]}, {"image": "a.png"}),
        ("edit_image", {"image": ["a.png", "b.png"]}, {"image": ["a.png", "b.png"]}),
        ("list_models", {"needs": "Image, video"}, {"needs": ["image", "video"]}),
        ("chat", {"messages": {"role": "user"}}, {"messages": [{"role": "user"}]}),
        ("chat", {"messages": '{"role": "user"}'}, {"messages": [{"role": "user"}]}),
        ("chat", {"messages": ['{"role": "user"}', "x"]}, {"messages": [{"role": "user"}, "x"]}),
        ("chat", {"messages": "hi"}, {"messages": "hi"}),
        ("chat", {"options": "[1]"}, {"options": "[1]"}),
        ("chat", {"options": {"stop": "\n", "top_p": "", "n": None, "user": {}}}, {"options": {"stop": "\n"}}),
        ("chat", {"options": {"seed": 0, "logprobs": False}}, {"options": {"seed": 0, "logprobs": False}}),
        ("chat", {"max_tokens": "null", "dry_run": "None", "system": "None"}, {"system": "None"}),
        ("generate_image", {"prompt": "x", "format": "undefined"}, {"prompt": "x"}),
        ("list_tasks", {"limit": 500, "offset": -3}, {"limit": 50, "offset": 0}),
        ("list_tasks", {"limit": "500"}, {"limit": 50}),
        ("get_task", {"task_id": "x", "wait_seconds": -1}, {"task_id": "x", "wait_seconds": 0}),
        ("start_gpu_instance", {"instance_id": "x", "stop_after_hours": 0}, {"instance_id": "x"}),
        ("create_sandbox", {"timeout_minutes": 0, "idle_minutes": 0.0}, {}),
        ("generate_image", {"prompt": "x", "size": "null"}, {"prompt": "x", "size": "null"}),
        ("generate_image", {"prompt": "x", "confirm": False, "count": 0}, {"prompt": "x", "confirm": False}),
        ("generate_image", {"prompt": "x", "seed": 0}, {"prompt": "x", "seed": 0}),
        ("get_task", {"task_id": "x", "wait_seconds": 0}, {"task_id": "x", "wait_seconds": 0}),
        ("generate_image", {"prompt": ""}, {"prompt": ""}),
        ("generate_image", {"prompt": None}, {"prompt": None}),
        ("generate_image", {"prompt": "x", "format": "JPG"}, {"prompt": "x", "format": "jpeg"}),
        ("generate_image", {"prompt": "x", "format": ".Png"}, {"prompt": "x", "format": "png"}),
        ("generate_image", {"prompt": "x", "format": "image/webp"}, {"prompt": "x", "format": "webp"}),
        ("generate_image", {"prompt": "x", "format": "gif"}, {"prompt": "x", "format": "gif"}),
        ("generate_speech", {"text": "x", "format": "MP3"}, {"text": "x", "format": "mp3"}),
        ("edit_image", {"image": "x", "edit": "remove text"}, {"image": "x", "edit": "remove_text"}),
        ("create_gpu_instance", {"billing": "on-demand"}, {"billing": "onDemand"}),
        ("list_models", {"needs": ["Function_Calling", "IMAGE"]}, {"needs": ["function-calling", "image"]}),
        ("list_quotas", {"unit": "rpm"}, {"unit": "RPM"}),
        # Numbers as people write them, in the unit that is meant
        ("generate_video", {"duration": "5s", "prompt": "x"}, {"duration": "5", "prompt": "x"}),
        ("generate_video", {"duration": "5 seconds"}, {"duration": "5"}),
        ("generate_video", {"duration": "0.5 min"}, {"duration": "30"}),
        ("generate_video", {"duration": "5 fortnights"}, {"duration": "5 fortnights"}),
        ("get_task", {"task_id": "x", "wait_seconds": "45 s"}, {"task_id": "x", "wait_seconds": 45.0}),
        ("get_task", {"task_id": "x", "wait_seconds": "2m"}, {"task_id": "x", "wait_seconds": 120.0}),
        ("create_gpu_instance", {"stop_after_hours": "2h"}, {"stop_after_hours": "2"}),
        ("create_gpu_instance", {"stop_after_hours": "90 minutes"}, {"stop_after_hours": "1.5"}),
        ("create_gpu_instance", {"stop_after_hours": "1h 30m"}, {"stop_after_hours": "1.5"}),
        ("create_gpu_instance", {"stop_after_hours": "2 days"}, {"stop_after_hours": "48"}),
        ("create_gpu_instance", {"stop_after_hours": "tonight"}, {"stop_after_hours": "tonight"}),
        ("create_sandbox", {"timeout_minutes": "1 hour"}, {"timeout_minutes": "60"}),
        ("create_sandbox", {"timeout_minutes": "90 s"}, {"timeout_minutes": "1.5"}),
        ("list_gpu_products", {"max_usd_per_hour": "$0.50"}, {"max_usd_per_hour": "0.50"}),
        ("list_gpu_products", {"max_usd_per_hour": "0.5 USD/h"}, {"max_usd_per_hour": "0.5"}),
        ("list_gpu_products", {"max_usd_per_hour": "€0.5"}, {"max_usd_per_hour": "€0.5"}),
        ("create_gpu_instance", {"disk_gb": "60 GB"}, {"disk_gb": 60}),
        ("list_gpu_products", {"max_usd_per_hour": "0,5"}, {"max_usd_per_hour": "0.5"}),
        ("chat", {"temperature": "0,7"}, {"temperature": "0.7"}),
        ("chat", {"max_tokens": "1,000"}, {"max_tokens": 1000}),
        ("chat", {"max_tokens": "1e3"}, {"max_tokens": 1000}),
        ("chat", {"max_tokens": "1k"}, {"max_tokens": "1k"}),
        ("chat", {"temperature": "1,000"}, {"temperature": "1,000"}),
        ("generate_image", {"prompt": "x", "seed": "random"}, {"prompt": "x", "seed": "random"}),
        ("generate_image", {"prompt": "x", "dry_run": "TRUE "}, {"prompt": "x", "dry_run": "TRUE"}),
        ("chat", {"thinking": "disabled"}, {"thinking": False}),
        # Sizes and ratios
        ("generate_image", {"prompt": "x", "size": [1024, 768]}, {"prompt": "x", "size": "1024x768"}),
        ("generate_image", {"prompt": "x", "size": {"width": 64, "height": 48}}, {"prompt": "x", "size": "64x48"}),
        ("generate_image", {"prompt": "x", "size": "1024 by 768 px"}, {"prompt": "x", "size": "1024x768"}),
        ("generate_image", {"prompt": "x", "size": "1024×768"}, {"prompt": "x", "size": "1024x768"}),
        ("generate_image", {"prompt": "x", "size": "1024px x 768px"}, {"prompt": "x", "size": "1024x768"}),
        ("generate_image", {"prompt": "x", "size": "2K"}, {"prompt": "x", "size": "2K"}),
        ("generate_image", {"prompt": "x", "aspect_ratio": "16：9 "}, {"prompt": "x", "aspect_ratio": "16:9"}),
        # Lists and objects as other programs have them
        ("get_task", {"task_ids": "abcd, efgh\nijkl"}, {"task_ids": ["abcd", "efgh", "ijkl"]}),
        ("get_task", {"task_ids": "['abcd', 'efgh']"}, {"task_ids": ["abcd", "efgh"]}),
        ("create_embeddings", {"texts": "['a', 'b']"}, {"texts": ["a", "b"]}),
        ("create_embeddings", {"texts": {"0": "a", "1": "b"}}, {"texts": ["a", "b"]}),
        ("create_embeddings", {"texts": "a, b"}, {"texts": ["a, b"]}),
        ("chat", {"options": "{'top_p': 0.5, 'stop': None}"}, {"options": {"top_p": 0.5}}),
        ("chat", {"options": '```json\n{"top_p": 0.5}\n```'}, {"options": {"top_p": 0.5}}),
        ("chat", {"options": [{"name": "top_p", "value": 0.5}]}, {"options": {"top_p": 0.5}}),
        ("chat", {"options": '[{"top_p": 0.5}]'}, {"options": {"top_p": 0.5}}),
        ("chat", {"options": "{'a': print}"}, {"options": "{'a': print}"}),
        ("list_models", {"kind": "embeddings"}, {"kind": "embedding"}),
        ("get_bill", {"by": "daily"}, {"by": "day"}),
        ("chat", {"options": "[]"}, {}),
        ("list_tasks", {"state": "running"}, {"state": "working"}),
        ("list_tasks", {"state": "Completed"}, {"state": "succeeded"}),
        ("list_tasks", {"state": "canceled"}, {"state": "cancelled"}),
        ("list_tasks", {"period": ["2026-10-01", "2026-10-15"]}, {"period": "2026-10-01 to 2026-10-15"}),
        ("list_tasks", {"period": {"start": "a", "end": "b"}}, {"period": "a to b"}),
        ("list_tasks", {"period": {"start": "a", "until": "b"}}, {"period": {"start": "a", "until": "b"}}),
        ("create_gpu_instance", {"env": ["A=b", "C=d=e"]}, {"env": {"A": "b", "C": "d=e"}}),
        ("create_gpu_instance", {"env": "A=b c\n\nC=d"}, {"env": {"A": "b c", "C": "d"}}),
        ("create_gpu_instance", {"env": "no variable = x"}, {"env": ["no variable = x"]}),
        ("create_gpu_instance", {"ports": "22/tcp, 8888/http"}, {"ports": ["22/tcp", "8888/http"]}),
        # Ids with what was pasted around them
        ("get_gpu_instance", {"instance_id": '"My Box"'}, {"instance_id": "My Box"}),
        ("get_endpoint", {"endpoint_id": " `My Api` "}, {"endpoint_id": "My Api"}),
        ("get_task", {"task_id": "task_id: abc"}, {"task_id": "abc"}),
        ("get_batch", {"batch_id": "batch_id=abc"}, {"batch_id": "abc"}),
        ("chat", {"model": '"deepseek/deepseek-v3.2"'}, {"model": "deepseek/deepseek-v3.2"}),
        ("generate_image", {"checkpoint": "`a.safetensors`"}, {"checkpoint": "a.safetensors"}),
        ("get_task", {"task_id": "my: task"}, {"task_id": "my: task"}),
        # Files as messages of models carry them
        ("edit_image", {"image": {"url": "https://x/a.png"}}, {"image": "https://x/a.png"}),
        ("edit_image", {"image": '{"path": "/a b.png"}'}, {"image": "/a b.png"}),
        ("edit_image", {"image": [{"url": "a"}, {"url": "b"}]}, {"image": ["a", "b"]}),
        ("edit_image", {"image": {"image_url": {"url": "a", "detail": "low"}, "type": "image_url"}}, {"image": "a"}),
        ("edit_image", {"image": {"type": "image", "data": "eA==", "mimeType": "image/png"}},
         {"image": "data:image/png;base64,eA=="}),
        ("edit_image", {"image": {"source": {"type": "base64", "media_type": "image/png", "data": "eA=="}}},
         {"image": "data:image/png;base64,eA=="}),
        ("edit_image", {"image": {"url": "a", "path": "b"}}, {"image": {"url": "a", "path": "b"}}),
        ("edit_image", {"image": "{a}.png"}, {"image": "{a}.png"}),
        ("chat", {"images": {"url": "a"}}, {"images": ["a"]}),
        ("chat", {"images": '[{"url": "a"}, "b"]'}, {"images": ["a", "b"]}),
        # What hosts add for themselves
        ("get_balance", {"random_string": "dummy"}, {}),
        ("list_models", {"kind": "chat", "task_progress": "- [x] look"}, {"kind": "chat"}),
        ("get_balance", {"sessionId": "1", "action": "sendMessage", "toolCallId": "c", "tool": "x"}, {}),
        ("get_balance", {"": {}, "dummy": None}, {}),
    ],
)  # fmt: skip
def test_arguments_are_read_as_their_schema_means_them(tool: str, arguments: Json, read: Json) -> None:
    assert read_arguments(TOOLS[tool], arguments) == read


@pytest.mark.parametrize("levels", [7, 150, 600, 900, 5_000])
async def test_a_file_too_deep_in_objects_is_refused_in_words(levels: int, connect: Connect) -> None:
    deep = '{"url":' * levels + '"a.png"' + "}" * levels
    async with connect(build=quick) as client:
        for given in (deep, f"[{deep}]"):
            answer = await client.call_tool("edit_image", {"prompt": "x", "image": given, "dry_run": True})
            assert answer.is_error
            assert "billed" in text_of(answer)
    assert read_arguments(TOOLS["edit_image"], {"image": deep}) == {"image": deep}


@pytest.mark.parametrize("levels", [300, 700, 930, 5_000])
async def test_json_text_nested_beyond_reason_is_refused_in_words(levels: int, connect: Connect) -> None:
    objects = '{"a":' * levels + "1" + "}" * levels
    lists = "[" * levels + "1" + "]" * levels
    asked: list[tuple[str, Json]] = [
        ("chat", {"prompt": "x", "options": objects}),
        ("chat", {"messages": lists}),
        ("chat", {"prompt": "x", "images": lists}),
        ("create_gpu_instance", {"name": "a", "env": objects}),
        ("create_embeddings", {"texts": lists}),
        ("get_task", {"task_ids": lists}),
    ]
    async with connect(build=quick) as client:
        for tool, arguments in asked:
            answer = await client.call_tool(tool, {**arguments, "dry_run": True} if tool in SPENDING else arguments)
            assert "recursion" not in text_of(answer)
            assert not answer.is_error or "billed" in text_of(answer), f"{tool}: {text_of(answer)[:200]}"


@pytest.mark.parametrize("name", ["arguments", "kwargs", "input", "params"])
async def test_arguments_in_one_more_object_are_the_arguments(name: str, connect: Connect) -> None:
    async with connect(build=quick) as client:
        for inner in ({"prompt": "a fox", "dry_run": True}, '{"prompt": "a fox", "dry_run": true}'):
            answer = await client.call_tool("chat", {name: inner})
            assert not answer.is_error, text_of(answer)
            assert (answer.structured_content or {})["request"]["body"]["messages"][-1]["content"] == "a fox"
        refused = await client.call_tool("chat", {name: {"prompt": "a fox", "colour": "red"}})
    assert "Unknown argument 'colour'" in text_of(refused)


@pytest.mark.parametrize("alone", ["action", "tool", "chatInput"])
def test_what_may_be_meant_for_the_tool_is_not_passed_over(alone: str) -> None:
    with pytest.raises(ArgumentError, match="Unknown argument"):
        read_arguments(TOOLS["edit_image"], {"image": "x", alone: "upscale"})


@given(st.text(max_size=30) | st.from_regex(r"[{\[]['\"a-c:, \\]{0,20}[}\]]"))
def test_any_text_for_an_object_or_a_number_is_read_or_left(text: str) -> None:
    for tool, name in (("chat", "options"), ("chat", "messages"), ("chat", "max_tokens"), ("get_task", "task_ids")):
        with suppress(ArgumentError):
            read_arguments(TOOLS[tool], {name: text})


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), 2**63, -(2**63) - 1])
def test_a_number_that_no_json_or_database_holds_is_refused_by_name(odd: float) -> None:
    asked: list[tuple[str, Json, str]] = [
        ("chat", {"prompt": "x", "temperature": odd}, "temperature"),
        ("generate_image", {"prompt": "x", "seed": odd}, "seed"),
        ("generate_image", {"prompt": "x", "options": {"a": [1, {"b": odd}]}}, "options.a.1.b"),
        ("list_tasks", {"offset": odd}, "offset"),
    ]
    for tool, arguments, where in asked:
        with pytest.raises(ArgumentError, match=rf"^{where}: "):
            read_arguments(TOOLS[tool], arguments)


@pytest.mark.parametrize("text", ["nan", " -Infinity", "1e999"])
def test_a_number_as_text_is_held_to_the_same(text: str) -> None:
    with pytest.raises(ArgumentError, match=r"^max_usd: "):
        read_arguments(TOOLS["list_models"], {"max_usd": text})
    assert read_arguments(TOOLS["list_models"], {"max_usd": "0.5"}) == {"max_usd": "0.5"}


async def test_an_offset_beyond_all_databases_is_refused_and_not_a_fault(connect: Connect) -> None:
    async with connect() as client:
        answer = await client.call_tool("list_tasks", {"offset": 2**63})

    assert answer.is_error
    assert text_of(answer).startswith("offset: ")
    assert "Nothing was sent or billed" in text_of(answer)


@pytest.mark.parametrize(
    ("tool", "name", "meant"),
    [
        ("generate_image", "n", "count"),
        ("generate_image", "num_images", "count"),
        ("generate_image", "numImages", "count"),
        ("generate_image", "width", "size"),
        ("generate_image", "output_dir", "save_to"),
        ("generate_image", "outputPath", "save_to"),
        ("generate_image", "negative_prompt", "options"),
        ("generate_image", "aspectRatio", "aspect_ratio"),
        ("generate_image", "Prompt", "prompt"),
        ("generate_image", "promt", "prompt"),
        ("edit_image", "image_url", "image"),
        ("generate_video", "seconds", "duration"),
        ("chat", "max_completion_tokens", "max_tokens"),
        ("get_task", "id", "task_id"),
        ("read_web_pages", "url", "urls"),
        ("get_bill", "month", "period"),
        ("get_bill", "groupBy", "by"),
        ("list_tasks", "since", "period"),
        ("list_tasks", "status", "state"),
        ("create_gpu_instance", "gpu_count", "count"),
        ("list_gpu_products", "gpu_type", "gpu"),
    ],
)
def test_an_unknown_argument_is_answered_with_the_one_that_is_meant(tool: str, name: str, meant: str) -> None:
    assert f"Did you mean {meant!r}" in unknown_argument(name, list(TOOLS[tool]["properties"]))


@pytest.mark.parametrize(
    ("tool", "name"),
    [
        ("upscale_image", "checkpoint"),
        ("generate_video", "checkpoint"),
        ("generate_video", "count"),
        ("generate_speech", "volume"),
        ("generate_speech", "Pitch"),
        ("edit_video", "aspectRatio"),
        ("generate_music", "format"),
    ],
)
def test_what_only_some_models_take_has_one_right_path(tool: str, name: str) -> None:
    plain = {"Pitch": "pitch", "aspectRatio": "aspect_ratio"}.get(name, name)
    told = unknown_argument(name, list(TOOLS[tool]["properties"]))
    assert f"Did you mean 'options', as in options={{'{plain}': ...}}?" in told


@pytest.mark.parametrize("name", ["background", "quality", "style", "user", "xyz"])
def test_no_hint_is_better_than_one_that_misleads(name: str) -> None:
    told = unknown_argument(name, list(TOOLS["generate_image"]["properties"]))

    assert "Did you mean" not in told
    assert "Known arguments: prompt" in told


def test_what_others_call_an_argument_is_none_of_the_tools_own() -> None:
    """A hint may not send one argument's name to another where the tool has both."""
    for tool, schema in TOOLS.items():
        for name in schema["properties"]:
            assert f"Did you mean {name!r}" in unknown_argument(name.upper(), list(schema["properties"])), tool


def test_an_unknown_argument_is_an_error() -> None:
    with pytest.raises(ArgumentError, match="Did you mean 'model'"):
        read_arguments(TOOLS["generate_image"], {"prompt": "x", "modell": None})


@pytest.mark.parametrize(
    ("tool", "given"),
    [
        ("search_web", {"query": 2026}),
        ("chat", {"prompt": 42}),
        ("create_gpu_instance", {"image": "x", "env": {"A": 1}}),
    ],
)
async def test_a_number_that_a_host_made_of_a_text_is_the_text_again(tool: str, given: Json, connect: Connect) -> None:
    async with connect(toolsets="all", build=quick) as client:
        answer = await client.call_tool(tool, {**given, "dry_run": True})

    assert not answer.is_error, text_of(answer)


def test_bounds_that_are_enforced_are_declared() -> None:
    """What is brought within its bounds is not refused for them, so they need not be listed."""
    for toolset in TOOLSETS:
        for spec in toolset.tools:
            built = spec.build()
            for name, taken in built.taken["properties"].items():
                listed = built.parameters["properties"].get(name)
                bounds = {key: taken[key] for key in ("minimum", "maximum") if key in taken}
                if listed is not None:
                    free = {"unlisted", *(bounds if name in BROUGHT_WITHIN else ())}
                    enforced = {key: value for key, value in taken.items() if key not in free}
                    assert listed == enforced, (spec.name, name)
                for bound, step in (("minimum", -1), ("maximum", 1)):
                    if bound in bounds and name in BROUGHT_WITHIN:
                        read = read_arguments(built.taken, {name: bounds[bound] + step})
                        assert read.get(name, bounds[bound]) == bounds[bound], (spec.name, name)
