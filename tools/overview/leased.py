"""How things of each kind that may have a lease are ended. Importing this imports the families that register them."""

from ...novita.gpu.leases import INSTANCE
from ...novita.journal.leases import ENDERS, Ender
from ...novita.serverless.leases import ENDPOINT

ENDERS_BY_KIND: dict[str, Ender] = {kind: ENDERS[kind] for kind in (INSTANCE, ENDPOINT)}
