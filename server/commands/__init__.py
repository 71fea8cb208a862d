"""The commands, each in its own module, so that a command imports only what it needs."""

from typing import TYPE_CHECKING

from ...novita.core.lazy import lazily

if TYPE_CHECKING:
    from .call import run_call
    from .completion import run_completion
    from .demo import run_demo
    from .doctor import run_doctor
    from .forget import run_forget
    from .gallery import run_gallery
    from .install import run_install, run_uninstall
    from .keys import run_key
    from .lease_timer import run_lease_timer
    from .models import run_models
    from .serve_http import serve_http
    from .serve_stdio import serve_stdio
    from .simulate import run_simulator
    from .spend import run_spend
    from .tools import run_tools

__all__ = [
    "run_call",
    "run_completion",
    "run_demo",
    "run_doctor",
    "run_forget",
    "run_gallery",
    "run_install",
    "run_key",
    "run_lease_timer",
    "run_models",
    "run_simulator",
    "run_spend",
    "run_tools",
    "run_uninstall",
    "serve_http",
    "serve_stdio",
]

__getattr__ = lazily(
    __name__,
    {
        "run_call": ".call",
        "run_completion": ".completion",
        "run_demo": ".demo",
        "run_doctor": ".doctor",
        "run_forget": ".forget",
        "run_gallery": ".gallery",
        "run_install": ".install",
        "run_key": ".keys",
        "run_lease_timer": ".lease_timer",
        "run_models": ".models",
        "run_simulator": ".simulate",
        "run_spend": ".spend",
        "run_tools": ".tools",
        "run_uninstall": ".install",
        "serve_http": ".serve_http",
        "serve_stdio": ".serve_stdio",
    },
)
