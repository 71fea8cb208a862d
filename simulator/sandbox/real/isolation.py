"""The isolation of the level `isolated`: namespaces of its own and an empty root. It needs Linux.

It is a program of its own that uses only the standard library. It gets a plan as JSON, builds a root in memory, mounts
the system's programs in it read-only, gives up all rights, and becomes the agent. The code inside sees an empty home,
/usr and Python read-only, its own processes, and a network with nothing but itself. It sees no other file, process,
address or user of this machine.
"""

import contextlib
import ctypes
import fcntl
import json
import os
import resource
import signal
import socket
import struct
import sys
from typing import Any

NEWNS, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET = 0x20000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
RDONLY, NOSUID, NODEV, NOEXEC, REMOUNT, BIND, REC, PRIVATE = 1, 2, 4, 8, 32, 4096, 16384, 1 << 18
DETACH = 2
NO_NEW_PRIVS, DEATH_SIGNAL = 38, 1
INSIDE = 1000
"""The user id inside."""
OUTSIDE = 2_000_000_000
"""If this program runs as root, sandboxes get user ids outside from this one on. They belong to nobody."""
DEVICES = ("null", "zero", "full", "random", "urandom")

libc = ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments: Any) -> None:
    if getattr(libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    call(
        "mount",
        source.encode(),
        target.encode(),
        kind.encode() or None,
        ctypes.c_ulong(flags),
        options.encode() or None,
    )


def bind(source: str, target: str) -> None:
    """Mount a folder or file in the new root, read-only."""
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        open(target, "w").close()
    mount(source, target, flags=BIND | REC)
    # A user namespace cannot remove flags that the original mount has, so they must be named again.
    kept = os.statvfs(target).f_flag & (NOSUID | NODEV | NOEXEC)
    mount("none", target, flags=BIND | REMOUNT | RDONLY | NOSUID | kept)


def map_user(outside: int) -> None:
    """Become the user INSIDE. Outside of the namespace this user has the id `outside`."""
    with contextlib.suppress(FileNotFoundError):
        write("/proc/self/setgroups", "deny")
    write("/proc/self/uid_map", f"{INSIDE} {outside} 1")
    write("/proc/self/gid_map", f"{INSIDE} {outside} 1")


def write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


def build(root: str, plan: dict[str, Any], owner: int) -> None:
    """Build a root in memory that has only what a program needs to start."""
    mount("tmpfs", root, "tmpfs", NOSUID | NODEV, f"size={plan['disk_bytes']},nr_inodes=200000,mode=755")
    for folder in ("proc", "dev", "etc", "home/user", "tmp", "var/tmp", "run"):
        os.makedirs(f"{root}/{folder}", exist_ok=True)
    for source in plan["show"]:
        if os.path.islink(source):
            os.symlink(os.readlink(source), f"{root}{source}")
        elif os.path.exists(source):
            bind(source, f"{root}{source}")
    for name in DEVICES:
        bind_device(f"/dev/{name}", f"{root}/dev/{name}")
    os.makedirs(f"{root}/dev/shm")
    os.makedirs(f"{root}/dev/pts")
    mount("devpts", f"{root}/dev/pts", "devpts", NOSUID | NOEXEC, "newinstance,ptmxmode=0666,mode=620")
    os.symlink("pts/ptmx", f"{root}/dev/ptmx")
    for name, target in (("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")):
        os.symlink(target, f"{root}/dev/{name}")
    write(f"{root}/etc/passwd", f"user:x:{INSIDE}:{INSIDE}::/home/user:/bin/bash\n")
    write(f"{root}/etc/group", f"user:x:{INSIDE}:\n")
    write(f"{root}/etc/hosts", "127.0.0.1 localhost\n")
    write(f"{root}/etc/hostname", "sandbox\n")
    for name, content in plan["programs"].items():
        write(f"{root}/etc/{name}", content)
    for folder in ("home/user", "tmp", "var/tmp", "dev/shm"):
        os.chown(f"{root}/{folder}", owner, owner)


def bind_device(source: str, target: str) -> None:
    open(target, "w").close()
    mount(source, target, flags=BIND)


def bring_up_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plug:
        fcntl.ioctl(plug, 0x8914, struct.pack("16sH14s", b"lo", 1, b""))  # SIOCSIFFLAGS, IFF_UP


def enter(root: str) -> None:
    """Make this folder the only root."""
    os.chdir(root)
    os.makedirs("old", exist_ok=True)
    call("pivot_root", b".", b"old")
    os.chdir("/")
    call("umount2", b"/old", DETACH)
    os.rmdir("/old")


def main() -> None:
    plan: dict[str, Any] = json.loads(sys.argv[1])
    call("prctl", DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
    as_root = os.geteuid() == 0
    owner = OUTSIDE + plan["number"] if as_root else os.geteuid()
    apart = NEWNS | NEWUTS | NEWIPC | NEWPID | NEWNET
    if as_root:
        call("unshare", apart)
    else:
        call("unshare", apart | NEWUSER)
        map_user(owner)
        owner = INSIDE
    mount("none", "/", flags=REC | PRIVATE)
    socket.sethostname("sandbox")
    bring_up_loopback()
    child = os.fork()
    if child:
        # This process only waits. Everything is inside, and the kernel kills it all when this process is killed.
        for descriptor in (0, 1):
            os.close(descriptor)
        _, status = os.waitpid(child, 0)
        os._exit(os.waitstatus_to_exitcode(status) & 255)
    call("prctl", DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
    root = plan["mount_point"]
    build(root, plan, owner)
    with contextlib.suppress(OSError):  # Some hosts do not allow a new /proc. Then the sandbox has none.
        mount("proc", f"{root}/proc", "proc", NOSUID | NODEV | NOEXEC)
    enter(root)
    if as_root:
        os.setgroups([])
        os.setresgid(owner, owner, owner)
        os.setresuid(owner, owner, owner)
        # A process that changed its user may not write its own id maps before this call.
        call("prctl", 4, 1, 0, 0, 0)
        call("unshare", NEWUSER)
        map_user(owner)
        call("prctl", DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)  # The change of the user has cleared it.
    with contextlib.suppress(OSError):
        write("/proc/sys/user/max_user_namespaces", "0")
    call("prctl", NO_NEW_PRIVS, 1, 0, 0, 0)
    for name, value in plan["limits"].items():
        kind = getattr(resource, f"RLIMIT_{name}", None)
        if kind is not None:
            resource.setrlimit(kind, (value, value))
    os.chdir("/home/user")
    python = plan["python"]
    agent = json.dumps({"root": "", "home": "/home/user", "limits": plan["inner"], "kernel": "/etc/kernel.py"})
    os.execve(
        python, [python, "-I", "/etc/agent.py", agent], {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/home/user"}
    )


if __name__ == "__main__":
    main()
