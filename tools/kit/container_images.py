"""Names of container images, read as people paste them: a `docker pull` line, a registry's address, in quotes."""

import re
from typing import Annotated

from pydantic import AfterValidator

from ...novita.core.errors import InputError
from ...novita.core.placeholders import unquoted

_REGISTRY = r"(?:[A-Za-z0-9][A-Za-z0-9-]*(?:\.[A-Za-z0-9-]+)+(?::\d+)?|[A-Za-z0-9-]+:\d+|localhost)/"
_PART = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_NAME = re.compile(rf"(?:{_REGISTRY})?{_PART}(?:/{_PART})*(?::\w[\w.-]{{0,127}})?(?:@sha256:[0-9a-f]{{64}})?", re.ASCII)
"""What Docker takes: a registry, a path in small letters, a tag, a digest."""
_COMMAND = re.compile(r"docker (?:image )?pull ")
_SCHEME = re.compile(r"(?i)(?:https?|docker|oci)://")
_HUB_PAGE = re.compile(r"hub\.docker\.com/(?:_|r)/")


def read_image(text: str) -> str:
    """The name of an image, without what was pasted around it; an empty text as it is.

    Raises:
        InputError: No image can be called that. A machine would be paid for and never boot.
    """
    name = unquoted(text)
    for around in (_COMMAND, _SCHEME, _HUB_PAGE):
        if found := around.match(name):
            name = name[found.end() :].strip()
    if name and not _NAME.fullmatch(name):
        raise InputError(
            f"{text[:80]!r} is no name of a container image",
            next_step="Give it as docker pull takes it, in small letters: docker.io/library/ubuntu:24.04.",
        )
    return name


ContainerImage = Annotated[str, AfterValidator(read_image)]
"""An argument that names a container image."""
