"""MCP prompts for workflows in a sandbox."""

from collections.abc import Mapping

from ..kit.prompts import PromptSpec, one_of

_OFF = "If there is no tool create_sandbox, tell me to start this server with --toolsets default,sandbox.\n\n"


def _analyse(given: Mapping[str, str]) -> str:
    question = given.get("question") or "What is in it, and what stands out?"
    return (
        f"Analyse {given['file']} in a sandbox and show me a chart. {question}\n\n{_OFF}"
        "1. create_sandbox with timeout_minutes=15; tell me what it costs.\n"
        "2. write_sandbox_file puts the file into it: the file itself, not its text.\n"
        "3. run_code: read it with pandas, say how many rows and columns there are, and look at the first rows. "
        "Variables stay between calls, so read it once.\n"
        "4. run_code: answer the question, and draw one chart that shows the answer, with a title and named axes.\n"
        "5. Show me the chart and say in two sentences what it tells. Name what is missing or odd in the data.\n"
        "6. delete_sandbox, also where something failed: it costs until it ends. Say what it cost."
    )


def _test_repository(given: Mapping[str, str]) -> str:
    how = given.get("command") or "the command its README or its CI names"
    return (
        f"Try the tests of {given['repository']} in a clean machine: a sandbox, where nothing of this machine is seen."
        f"\n\n{_OFF}"
        "1. create_sandbox with timeout_minutes=30 and a label; tell me what it costs.\n"
        "2. run_command: git clone --depth 1. A private repository needs a token: ask me, and give it in secret_env.\n"
        "3. run_command: install what it needs. Say what was missing.\n"
        f"4. run_command with timeout_seconds=1200: {how}. While it is working, get_sandbox with its run_id; do not "
        "start "
        "it again.\n"
        "5. Tell me how many tests passed, failed and were skipped, and for each failure what broke, from the output "
        "and not from memory.\n"
        "6. delete_sandbox, also where something failed: it costs until it ends. Say what it cost."
    )


SANDBOX_PROMPTS: tuple[PromptSpec, ...] = (
    PromptSpec(
        "analyse_data",
        "Analyse data",
        "Analyse a CSV or another file in a sandbox and show a chart (toolset sandbox).",
        {"file": "The file: path, URL, or task:<id>/<n> of an earlier result.", "question": "What you want to know."},
        _analyse,
        frozenset({"question"}),
    ),
    PromptSpec(
        "test_repository",
        "Test a repository",
        "Try a repository's tests in a clean machine (toolset sandbox).",
        {"repository": "Its address for git clone.", "command": "How its tests are run."},
        _test_repository,
        frozenset({"command"}),
        {"command": one_of("pytest", "npm test", "cargo test", "go test ./...")},
    ),
)
