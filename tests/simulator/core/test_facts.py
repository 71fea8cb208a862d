"""The facts the simulator carries are those of the documentation, and requests are held to them."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from novita_mcp.simulator.core.facts import (
    AREAS,
    Invalid,
    check_body,
    check_query,
    error_row,
    error_rows,
    operations,
    request_schema,
)

ROOT = Path(__file__).resolve().parents[3]
SOURCE = ROOT.parent / "shared" / "novita-api"

TXT2IMG: dict[str, Any] = {
    "model_name": "dreamshaper_8_93211.safetensors",
    "prompt": "a red fox",
    "width": 512,
    "height": 512,
    "image_num": 1,
    "steps": 20,
    "guidance_scale": 7.5,
    "sampler_name": "Euler a",
}


@pytest.mark.skipif(not SOURCE.is_dir(), reason="the documentation facts do not lie beside the repository")
def test_the_carried_facts_are_those_of_the_source() -> None:
    script = ROOT / "scripts" / "carry_facts.py"
    done = subprocess.run([sys.executable, script, SOURCE, "--check"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_operation_and_error_row_came_along() -> None:
    counts: dict[str, int] = dict.fromkeys(AREAS, 0)
    for operation in operations().values():
        counts[operation.area] += 1
    assert counts == {
        "image": 47, "video": 86, "audio": 28, "newer": 19, "llm": 24, "gpu": 81, "serverless": 19, "account": 20
    }  # fmt: skip
    assert len(error_rows()) == 101


def test_every_request_schema_is_a_valid_closed_schema() -> None:
    from jsonschema import Draft202012Validator

    for operation in operations().values():
        for content_type in operation.request or {}:
            Draft202012Validator.check_schema(request_schema(operation, content_type))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"width": 64}, "request.width"),
        ({"width": "512"}, "request.width"),
        ({"sampler_name": "Euler b"}, "request.sampler_name"),
        ({"widht": 512}, "widht"),
        ({"loras": [{"model_name": "x"}]}, "request.loras.0"),
        ({"prompt": ""}, "request.prompt"),
    ],
)
def test_a_wrong_field_is_refused_by_name(change: dict[str, Any], named: str) -> None:
    with pytest.raises(Invalid, match=named):
        check_body(operations()["txt2img"], {"request": TXT2IMG | change})


def test_a_missing_field_is_refused_by_name() -> None:
    body = {name: value for name, value in TXT2IMG.items() if name != "steps"}
    with pytest.raises(Invalid, match="steps"):
        check_body(operations()["txt2img"], {"request": body})


def test_a_missing_body_and_an_unwanted_body_are_refused() -> None:
    with pytest.raises(Invalid, match="required"):
        check_body(operations()["txt2img"], None)
    with pytest.raises(Invalid, match="no request body"):
        check_body(operations()["get_user_balance"], {"a": 1})
    assert check_body(operations()["cancel_batch"], {}) == {}


def test_null_counts_as_absent_only_where_old_clients_send_it() -> None:
    body = check_body(operations()["txt2img"], {"extra": None, "request": TXT2IMG | {"sd_vae": None}})
    assert "extra" not in body
    assert "sd_vae" not in body["request"]
    with pytest.raises(Invalid, match="seed"):
        check_body(operations()["z_image_turbo"], {"prompt": "x", "seed": None})


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        ("create_batch", {"input_file_id": "f", "endpoint": "/v1/chat/completions", "completion_window": "24h"}),
        (
            "create_chat_completion",
            {"model": "m", "messages": [{"role": "user", "content": "hi"}], "user": "u", "max_completion_tokens": 5},
        ),
        ("txt2img", {"request": TXT2IMG | {"sampler_name": "DPM++ Karras"}}),
        ("img2img", {"request": TXT2IMG | {"image_base64": "x", "extra": {"a": 1}}}),
        ("wan_t2v", {"prompt": "x", "frames": 81, "model_name": "wan"}),
    ],
)
def test_what_real_clients_send_beyond_the_documentation_passes(operation: str, body: Any) -> None:
    check_body(operations()[operation], body)


def test_query_parameters_get_their_types_and_defaults() -> None:
    query = [("filter.is_sdxl", "true"), ("pagination.limit", "5")]
    typed = check_query(operations()["query_models"], query)
    assert typed == {"filter.is_sdxl": True, "pagination.limit": 5, "filter.is_inpainting": False}


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ([("pagination.limit", "101")], "pagination.limit"),
        ([("pagination.limit", "five")], "pagination.limit"),
        ([("filter.types", "model")], "filter.types"),
        ([("limit", "5")], "limit"),
    ],
)
def test_a_wrong_query_parameter_is_refused_by_name(query: list[tuple[str, str]], named: str) -> None:
    with pytest.raises(Invalid, match=named):
        check_query(operations()["query_models"], query)


def test_one_error_name_may_have_another_status_in_another_group() -> None:
    assert error_row("llm", "INVALID_API_KEY")["meaning"] != error_row("media", "INVALID_API_KEY")["meaning"]
    with pytest.raises(KeyError, match="NOPE"):
        error_row("media", "NOPE")
