"""Novita's Agent Sandbox: control plane, the daemon inside a sandbox, the code interpreter, three ways to run code."""

__all__: list[str] = []
