"""The answers of the control plane."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, SecretStr

from ..core.answers import Amount, Moment, Rows, Secret, Text, Whether, Whole, Words, an_object
from ..core.answers import Shape as Answer
from .prices import SandboxSize, prices


def _text_map(value: Any) -> dict[str, str]:
    return {str(key): str(one) for key, one in an_object(value).items()}


TextMap = Annotated[dict[str, str], BeforeValidator(_text_map)]


class Lifecycle(Answer):
    """What happens to a sandbox at the end of its time."""

    on_timeout: Text = "kill"
    auto_resume: Whether = False


class SandboxNetwork(Answer):
    """Who may reach the ports of a sandbox."""

    allow_public_traffic: Whether = True

    @property
    def restricted(self) -> bool:
        """Whether its ports answer only to those who have its traffic token."""
        return not self.allow_public_traffic


class Sandbox(Answer):
    """A sandbox as it is listed; `token` and `domain` come with the detail, with create and with connect only."""

    id: Text = ""
    template_id: Text = ""
    alias: Text = ""
    started_at: Moment = None
    ends_at: Moment = None
    state: Text = ""
    cpu: Whole = None
    memory_mb: Whole = None
    disk_mb: Whole = None
    envd_version: Text = ""
    metadata: TextMap = Field(default={})
    domain: Text = ""
    token: Secret = SecretStr("")
    traffic_token: Secret = SecretStr("")
    allow_internet_access: Whether = True
    lifecycle: Lifecycle = Lifecycle()
    network: SandboxNetwork = SandboxNetwork()

    other_names: ClassVar[Mapping[str, str]] = {
        "sandboxID": "id",
        "endAt": "ends_at",
        "cpuCount": "cpu",
        "memoryMB": "memory_mb",
        "diskSizeMB": "disk_mb",
        "envdAccessToken": "token",
        "trafficAccessToken": "traffic_token",
    }

    @property
    def shape(self) -> SandboxSize:
        """Its cores and memory; assumed if the answer does not say."""
        assumed = prices().assumed
        return SandboxSize(self.cpu or assumed.cpu, self.memory_mb or assumed.memory_mb)


class Metric(Answer):
    """One measurement. Bytes, and percent of a core."""

    timestamp: Moment = None
    cpu_count: Whole = None
    cpu_used_pct: Amount = None
    mem_used: Whole = None
    mem_total: Whole = None
    disk_used: Whole = None
    disk_total: Whole = None


class SandboxTemplate(Answer):
    """What a sandbox starts from."""

    id: Text = ""
    names: Words = ()
    aliases: Words = ()
    public: Whether = False
    cpu: Whole = None
    memory_mb: Whole = None
    disk_mb: Whole = None
    build_status: Text = ""
    envd_version: Text = ""

    other_names: ClassVar[Mapping[str, str]] = {
        "templateID": "id",
        "cpuCount": "cpu",
        "memoryMB": "memory_mb",
        "diskSizeMB": "disk_mb",
    }

    @property
    def name(self) -> str:
        return next(iter((*self.names, *self.aliases)), self.id)

    @property
    def shape(self) -> SandboxSize | None:
        return SandboxSize(self.cpu, self.memory_mb) if self.cpu and self.memory_mb else None


class TemplatePage(Answer):
    """One page of templates."""

    templates: Rows[SandboxTemplate] = ()
    total: Whole = None
    total_pages: Whole = None


class Snapshot(Answer):
    """A saved state that sandboxes can start from, by its id."""

    id: Text = ""
    names: Words = ()

    other_names: ClassVar[Mapping[str, str]] = {"snapshotID": "id"}


class Counts(Answer):
    """What an account may have at a time, or has now."""

    sandboxes: Whole = None
    vcpu: Whole = None
    ram_mb: Whole = None
    hours: Whole = None
    max_vcpu: Whole = None
    max_ram_mb: Whole = None

    other_names: ClassVar[Mapping[str, str]] = {
        "concurrentInstances": "sandboxes",
        "concurrentVcpu": "vcpu",
        "concurrentRamMb": "ram_mb",
        "maxLengthHours": "hours",
    }


class SandboxQuota(Answer):
    """Limits of the account, and how much of them is in use."""

    limit: Counts = Counts()
    usage: Counts = Counts()


class SandboxEvent(Answer):
    """One line of a sandbox's history."""

    sandbox_id: Text = ""
    name: Text = ""
    at: Moment = None

    other_names: ClassVar[Mapping[str, str]] = {"sandboxID": "sandbox_id", "eventName": "name", "recordAt": "at"}


class Events(Answer):
    """The history of a sandbox, newest first."""

    items: Rows[SandboxEvent] = ()
