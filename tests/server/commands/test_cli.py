"""The command line and its settings: what is given is used, what is wrong is named, and no traceback is shown."""

import contextlib
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import fields, replace
from decimal import Decimal
from pathlib import Path

import pytest
from novita_mcp.server.app import toolsets_on
from novita_mcp.server.cli import main
from novita_mcp.server.commands.tool_flags import listing, tool_names
from novita_mcp.server.flags import SHELLS, parser, tool_parser
from novita_mcp.server.settings import SettingError, Settings, read_settings
from novita_mcp.server.version import version
from novita_mcp.simulator.core.world import DEFAULT_KEY, World
from novita_mcp.simulator.serving import Running

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, simulator: Running, tmp_path: Path) -> None:
    for item in fields(Settings):
        monkeypatch.delenv(item.metadata["env"], raising=False)
    monkeypatch.setenv("NOVITA_API_KEY", DEFAULT_KEY)
    monkeypatch.setenv("NOVITA_BASE_URL", simulator.url)
    monkeypatch.setenv("NOVITA_MCP_OUTPUT_DIR", str(tmp_path / "out"))
    monkeypatch.setenv("NOVITA_MCP_JOURNAL", "off")
    # A refresh in the background is cut off by the end of a short command, and old libraries leave its socket behind.
    monkeypatch.setenv("NOVITA_MCP_SHIPPED_MODELS_ONLY", "true")


def test_tools_are_listed_with_a_line_each(capsys: Capture) -> None:
    assert main(["tools"]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("generate_image ")]
    assert all(len(line.split()) > 2 for line in lines)


def test_a_read_only_list_has_nothing_that_costs(capsys: Capture) -> None:
    assert main(["tools", "list", "--read-only", "--json"]) == 0

    tools = json.loads(capsys.readouterr().out)
    assert "generate_image" not in [tool["name"] for tool in tools]
    assert all(tool["annotations"]["readOnlyHint"] for tool in tools)


def test_a_single_tool_comes_beside_the_toolsets_that_are_always_on(capsys: Capture) -> None:
    assert main(["tools", "list", "--toolsets", "tasks", "--tools", "get_balance", "--json"]) == 0

    names = {tool["name"] for tool in json.loads(capsys.readouterr().out)}
    assert "get_balance" in names
    assert "get_task" in names
    assert "generate_image" not in names


def test_a_schema_is_shown(capsys: Capture) -> None:
    assert main(["tools", "schema", "generate_image"]) == 0

    assert json.loads(capsys.readouterr().out)["inputSchema"]["properties"]["prompt"]["type"] == "string"


@pytest.mark.old_models
def test_a_tool_is_called(capsys: Capture, world: World, tmp_path: Path) -> None:
    assert (
        main(
            [
                "tools",
                "call",
                "generate_image",
                "--args",
                '{"prompt": "a fox", "size": "512x512", "model": "qwen-image-txt2img"}',
            ]
        )
        == 0
    )

    assert str(tmp_path / "out") in capsys.readouterr().out
    assert world.count("qwen_image_txt2img") == 1


def test_a_tool_that_fails_gives_code_1_and_its_error(capsys: Capture) -> None:
    assert main(["tools", "call", "generate_image", "--args", '{"prompt": "a fox", "model": "nope"}']) == 1

    assert "nope" in capsys.readouterr().out


def test_simulate_needs_no_key_and_leaves_the_users_novita_alone(
    capsys: Capture, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NOVITA_API_KEY")

    assert main(["tools", "call", "get_balance", "--simulate"]) == 0

    assert "$100" in capsys.readouterr().out
    assert not world.requests


def test_simulate_asks_no_proxy_for_its_own_simulator(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)

    assert main(["tools", "call", "get_balance", "--simulate"]) == 0
    assert "available_usd" in capsys.readouterr().out


@pytest.mark.parametrize("address", ["http://127.0.0.1:99999", "https://[::1/", "https://xn--/", "not-a-url"])
@pytest.mark.parametrize("command", [["tools", "call", "get_balance"], ["doctor"]])
def test_an_address_of_novita_that_cannot_be_is_one_clear_line(
    command: list[str], address: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOVITA_BASE_URL", address)

    assert main(command) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "NOVITA_BASE_URL" in told


def test_what_is_simulated_is_not_counted_as_spent(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NOVITA_MCP_JOURNAL")
    for name in ("HOME", "XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path))

    assert main(["tools", "call", "generate_image", "--prompt", "a fox", "--simulate"]) == 0

    assert not list(tmp_path.rglob("*.sqlite3"))


@pytest.mark.parametrize(
    "arguments",
    [
        ["tools", "schema", "no_such_tool"],
        ["tools", "schema"],
        ["tools", "call"],
        ["tools", "call", "generate_image", "--args", "{not json"],
        ["tools", "call", "generate_image", "--args", "[]"],
        ["tools", "list", "--toolsets", "pictures"],
        ["tools", "list", "--tools", "no_such_tool"],
        ["tools", "list", "--base-url", "ftp://novita"],
        ["tools", "list", "--log-level", "loud"],
    ],
)
def test_what_cannot_be_is_named_in_one_line_with_code_2(arguments: list[str], capsys: Capture) -> None:
    assert main(arguments) == 2

    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("novita-mcp: ")
    assert len(told.err.splitlines()) == 1


def test_a_port_that_is_taken_is_named(capsys: Capture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])

        assert main(["serve", "--http", "--port", port]) == 2
        assert main(["simulate", "--port", port]) == 2

    first, second = capsys.readouterr().err.splitlines()
    assert port in first
    assert port in second


def test_the_version_is_told(capsys: Capture) -> None:
    assert main(["version"]) == 0

    assert capsys.readouterr().out == version() + "\n"


def test_a_flag_beats_the_environment_and_that_the_default() -> None:
    environment = {"NOVITA_MCP_TOOLSETS": "images", "NOVITA_MCP_PORT": "9000", "NOVITA_MCP_LOG_LEVEL": ""}

    settings = read_settings(environment, {"toolsets": "all", "tools": None})

    assert (settings.toolsets, settings.port, settings.log_level) == ("all", 9000, "WARNING")


@pytest.mark.parametrize(
    ("name", "raw", "value"),
    [
        ("read_only", "yes", True),
        ("thumbnails", "OFF", False),
        ("port", "8123", 8123),
        ("wait_seconds", "0.5", 0.5),
        ("spend_limit_usd", "$2.50", Decimal("2.50")),
        ("output_dir", "~/x", Path.home() / "x"),
        ("port", " 8123 ", 8123),
        ("journal", " /x/journal ", "/x/journal"),
        ("log_format", "json", "json"),
        ("log_level", "debug", "DEBUG"),
    ],
)
def test_settings_are_read_as_what_they_are(name: str, raw: str, value: object) -> None:
    item = next(item for item in fields(Settings) if item.name == name)

    assert getattr(read_settings({item.metadata["env"]: raw}), name) == value


@pytest.mark.parametrize(
    ("name", "raw", "said"),
    [
        ("read_only", "perhaps", "cannot be 'perhaps': true or false is needed"),
        ("port", "eighty", "cannot be 'eighty': a whole number is needed"),
        ("port", "80.5", "cannot be '80.5': a whole number is needed"),
        ("wait_seconds", "soon", "cannot be 'soon': a number is needed"),
        ("wait_seconds", "inf", "cannot be 'inf': a number is needed"),
        ("wait_seconds", "-1", "must not be negative"),
        ("spend_limit_usd", "much", "cannot be 'much': an amount of dollars is needed"),
        ("spend_limit_usd", "-5", "must not be negative"),
        ("spend_limit_usd", "NaN", "cannot be 'NaN': an amount of dollars is needed"),
        ("spend_limit_usd", "Infinity", "cannot be 'Infinity': an amount of dollars is needed"),
        ("output_dir", "~nobody-of-that-name/x", "cannot be '~nobody-of-that-name/x': a folder is needed"),
        ("log_level", "chatty", "cannot be 'chatty': DEBUG, INFO, WARNING, ERROR or CRITICAL is needed"),
        ("log_format", "xml", "cannot be 'xml': text or json is needed"),
        ("base_url", "novita.ai", "must begin with http"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_by_name(name: str, raw: str, said: str) -> None:
    item = next(item for item in fields(Settings) if item.name == name)

    with pytest.raises(SettingError, match=re.escape(item.metadata["env"]) + " " + re.escape(said)):
        read_settings({item.metadata["env"]: raw})


@pytest.mark.parametrize("name", ["NOVITA_MCP_SPEND_LIMIT", "NOVITA_MCP_SPENDLIMIT_USD"])
def test_a_misspelt_limit_is_not_no_limit(name: str) -> None:
    with pytest.raises(SettingError, match=f"{name} is not a setting. Did you mean NOVITA_MCP_SPEND_LIMIT_USD"):
        read_settings({name: "5", "NOVITA_API_KEY": "sk-1"})


def test_secrets_are_never_shown() -> None:
    shown = repr(Settings(api_key="sk-very-secret", handle_keys="k" * 40))

    assert "sk-very-secret" not in shown
    assert "k" * 40 not in shown


def test_every_flag_belongs_to_a_setting_or_a_command() -> None:
    """`--help` is made from the settings; this fails where a flag is lost."""
    shown = help_of("serve")

    assert all(item.metadata["flag"] in shown for item in fields(Settings) if item.metadata["flag"])
    assert "--port" not in help_of("doctor") + help_of("call") + parser().format_help()


def test_all_means_every_toolset_and_names_keep_their_order() -> None:
    assert toolsets_on(Settings(toolsets="account,images"))[0] == "images"
    assert set(toolsets_on(Settings(toolsets="default"))) <= set(toolsets_on(Settings(toolsets="all")))


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names there are always text")
def test_a_console_of_few_letters_ends_no_command(tmp_path: Path) -> None:
    """An old Windows console, or a folder's name that is no UTF-8: what cannot be written is escaped."""
    folder = os.fsencode(tmp_path) + "/füchse 🦊 ".encode() + b"\xff"
    environment = {**os.environb, b"NOVITA_MCP_OUTPUT_DIR": folder, b"PYTHONIOENCODING": b"ascii"}

    done = subprocess.run(
        [sys.executable, "-P", "-m", "novita_mcp.server", "doctor", "--offline"], env=environment, capture_output=True
    )

    assert b"Traceback" not in done.stderr
    assert rb"f\xfcchse \U0001f98a \udcff" in done.stdout


def help_of(*command: str) -> str:
    """What `--help` of a command shows."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), pytest.raises(SystemExit):
        main([*command, "--help"])
    return said.getvalue()


def test_a_call_takes_flags_made_of_the_schema(capsys: Capture, world: World, tmp_path: Path) -> None:
    arguments = ["call", "generate_image", "--prompt", "a fox", "--count", "3", "--wait-seconds", "30"]
    assert main(arguments) == 0

    told = capsys.readouterr()
    files = told.out.partition("\nfiles:\n")[2].split("\n  ")
    assert len(files) == 3
    assert all(Path(file.strip()).is_file() for file in files)
    assert told.err == ""  # a bar is for terminals


@pytest.mark.parametrize("how", ["text", "stdin", "file"])
def test_a_call_takes_json_with_flags_on_top(
    how: str, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = '{"does": "text_to_image", "offset": 5000}'
    (tmp_path / "a.json").write_text(text)
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    given = {"text": text, "stdin": "-", "file": f"@{tmp_path / 'a.json'}"}[how]

    assert main(["call", "list_media_models", "--args", given, "--offset", "0", "--json"]) == 0

    assert json.loads(capsys.readouterr().out)["models"]


def test_a_failing_call_in_json_is_json(capsys: Capture) -> None:
    assert main(["call", "generate_image", "--prompt", "a fox", "--model", "nope", "--json"]) == 1

    assert "nope" in json.loads(capsys.readouterr().out)["error"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["cal"], "Did you mean call?"),
        (["call", "genrate_image"], "Did you mean generate_image?"),
        (["call", "generate_image", "--promt", "a fox"], "Did you mean --prompt?"),
        (["call", "generate_image", "--prom", "a fox"], "Did you mean --prompt?"),
        (["call", "generate_image"], "needs --prompt"),
        (["call", "generate_image", "--prompt", "a", "--count", "many"], "--count"),
        (["call", "search_web", "--query", "x"], "--tools search_web"),
        (["call", "get_balance", "--json", "{}"], "--args '{...}'"),
        (["tools", "call", "get_balance", "--json={}"], "--args '{...}'"),
        (["call", "get_balance", "--args", "@/no/such/file"], "/no/such/file"),
        (["doctor", "--ofline"], "Did you mean --offline?"),
        (["doctor", "--port", "1"], "--port does nothing here"),
        (["--port", "1", "doctor"], "--port does nothing for doctor"),
        (["--port", "1"], "serve --http"),
        (["--simulate", "doctor"], "--simulate does nothing"),
        (["serve", "--port", "1"], "add --http"),
        (["install", "cursor", "--with-key"], "--project"),
        (["install", "cursr"], "Did you mean cursor?"),
        (["demo", "now"], "one word too many"),
        (["completion", "bsh"], "Did you mean bash?"),
    ],
)
def test_a_slip_is_one_line_that_helps(arguments: list[str], told: str, capsys: Capture) -> None:
    assert main(arguments) == 2

    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert told in said.err


@pytest.mark.parametrize("tool", tool_names())
def test_every_tool_has_its_arguments_as_flags(tool: str) -> None:
    shown = tool_parser(tool).format_help()

    assert all("--" + name.replace("_", "-") in shown for name in listing(tool)["inputSchema"]["properties"])


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_completes_commands_tools_and_flags(shell: str, capsys: Capture) -> None:
    assert main(["completion", shell]) == 0

    script = capsys.readouterr().out
    assert "doctor" in script
    if shell != "tcsh":  # completes commands, not what is below them
        assert "generate_image" in script
        assert "wait-seconds" in script


def test_the_version_has_a_flag_and_json(capsys: Capture) -> None:
    assert main(["--version"]) == 0
    assert main(["version", "--json"]) == 0

    first, second = capsys.readouterr().out.splitlines()
    assert json.loads(second) == {"version": first}


def test_a_bare_name_on_a_terminal_says_what_to_try(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal())

    assert main([]) == 0

    told = capsys.readouterr().out
    for line in told.splitlines():
        if line.startswith("  novita-mcp "):
            words = line.split("  ")[1].replace("HOST", "cursor").split()[1:]
            assert "--help" in words or parser().parse_args(words)


def test_ctrl_c_says_the_task_and_how_to_fetch_it(capsys: Capture, world: World) -> None:
    """Sent once Novita was asked about the job twice: by then its id was told."""
    world.settings = replace(world.settings, task_seconds=3600)
    # Where tests are begun in the background, a shell has them ignore it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def interrupt() -> None:
        for _ in range(3000):
            if sum("task-result" in seen.path for seen in list(world.requests)) > 1:
                os.kill(os.getpid(), signal.SIGINT)
                return
            threading.Event().wait(0.01)

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        code = main(["call", "generate_video", "--prompt", "a fox", "--confirm"])
    finally:
        thread.join()
        signal.signal(signal.SIGINT, before)

    told = capsys.readouterr().err
    assert code == 130
    assert re.search(r"novita-mcp call get_task --task-id \S+\n", told)
    assert "Traceback" not in told


@pytest.mark.skipif(sys.platform == "win32", reason="a pipe of POSIX")
def test_a_closed_pipe_is_silent() -> None:
    program = [sys.executable, "-P", "-m", "novita_mcp.server", "tools", "list", "--toolsets", "all", "--json"]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout
        assert child.stderr
        child.stdout.close()
        said = child.stderr.read()

    assert (child.returncode, said) == (141, b"")
