"""Novita's Agent Sandbox: the control plane, the daemon in a sandbox, the code interpreter; three ways to run code."""

__all__: list[str] = []
