"""For servers where people sign in: the tool that opens the page where they enter their Novita key."""

from pydantic import Field

from ...novita.core.errors import InputError
from ..kit.context import Call
from ..kit.toolset import READS, ToolResult, Toolset

sign_in = Toolset("sign_in", "The Novita key that a server over HTTP keeps for who signs in.")


class KeyPageResult(ToolResult):
    """The page where a key is entered."""

    link: str = Field(description="For the user's browser; good once, for ten minutes.")
    key: str = Field(description="The end of the key that is kept, or none.")

    def headline(self) -> str:
        return f"The kept key: {self.key}. Have the user open the link to enter, replace or remove it."


@sign_in.tool("Show the page for the Novita key", READS)
async def show_key_page(call: Call) -> KeyPageResult:
    """A link to the page where the user enters, replaces or removes the Novita key this server keeps for them, or all
    it keeps of them. Never ask for the key itself. Free.
    """
    who = call.signed_in
    if who is None:
        raise InputError(
            "You did not sign in: the key is your own", next_step="Have the user change it where this server is set up."
        )
    if who.key_page is None:
        raise InputError(
            "A key of the team pays for all who sign in", next_step="Have the user ask whoever runs this server."
        )
    key = who.api_key
    shown = "none" if key is None else f"****{key[-4:]}" if len(key) >= 20 else "****"
    return KeyPageResult(link=who.key_page(), key=shown)
