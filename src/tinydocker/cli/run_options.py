"""The options of ``run``, and what each becomes in the library's own words.

Values are handed on as they were typed wherever the library reads the same form, so that what is
accepted is decided once, and an option that this version lacks is refused by the library.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from ..errors import InvalidSpec, NotSupported
from .parser import Option, UsageError, Values

_CPU_PERIOD_US = 100_000
_LEAST_QUOTA_US = 1000

OPTIONS = (
    Option("-i --interactive", "pass standard input on (what happens without -d anyway)"),
    Option("-t --tty", "give the command a terminal"),
    Option("-d --detach", "run in the background, print the id, keep the output for `logs`"),
    Option("--rm", "remove the container when it has ended"),
    Option("-n --name", "call the container NAME", "NAME"),
    Option("--replace", "take the name over from a container that has it"),
    Option("-v --volume", "show SOURCE, a path or a volume's name, at TARGET", "SOURCE:TARGET[:ro|rw]", many=True),
    Option("--tmpfs", "an empty file system in memory at TARGET", "TARGET[:OPTIONS]", many=True),
    Option("--read-only", "make the root file system read-only"),
    Option("-e --env", "set a variable; NAME alone takes the caller's, if it is set", "NAME[=VALUE]", many=True),
    Option("--env-file", "set the variables that FILE lists, one a line", "FILE", many=True),
    Option("-w --workdir", "start in this directory of the container", "DIR"),
    Option("-u --user", "run as this user", "USER[:GROUP]"),
    Option("--entrypoint", "put PROGRAM before the command; '' clears the image's", "PROGRAM"),
    Option("-h --hostname", "the container's own name for itself", "NAME"),
    Option("-l --label", "a label to find it by", "NAME[=VALUE]", many=True),
    Option("--network --net", "none (a loopback of its own) or host", "NETWORK", key="network"),
    Option("--dns", "a resolver's address", "ADDRESS", many=True),
    Option("--add-host", "a line of /etc/hosts", "NAME:ADDRESS", many=True),
    Option("--cap-add", "add a capability, or ALL", "CAPABILITY", many=True),
    Option("--cap-drop", "drop a capability, or ALL", "CAPABILITY", many=True),
    Option("--security-opt", "no-new-privileges[=false], seccomp=unconfined", "OPTION", many=True),
    Option("--sysctl", "a kernel setting of the container's own", "NAME=VALUE", many=True),
    Option("--ulimit", "a resource limit", "NAME=SOFT[:HARD]", many=True),
    Option("--umask", "the file mode creation mask, octal", "MASK"),
    Option("--shm-size", "the size of /dev/shm", "SIZE"),
    Option("--oom-score-adj", "-1000 to 1000: whom to end when memory is short", "NUMBER"),
    Option("--init", "a first process that reaps orphans and passes signals on"),
    Option("--stop-signal", "the signal that asks the command to end", "SIGNAL"),
    Option("--stop-timeout", "how long `stop` waits before it kills", "SECONDS"),
    Option("--log-opt", "max-size=SIZE, max-file=NUMBER", "NAME=VALUE", many=True),
)
# Parsed, and refused by the library until it has them.
LATER_OPTIONS = (
    Option("-m --memory", "a limit in bytes, or such as 64m", "SIZE"),
    Option("--memory-swap", "a limit on memory and swap together", "SIZE"),
    Option("-c", "CPU time in microseconds per 100000, at least 1000", "N", key="cpu_quota"),
    Option("--cpus", "CPU time as a number of CPUs", "NUMBER"),
    Option("--cpu-shares", "a share of the CPU under load", "NUMBER"),
    Option("--cpuset-cpus", "the CPUs to run on", "CPUS"),
    Option("--pids-limit", "a limit on the number of processes", "NUMBER"),
    Option("-p --publish", "publish a port; HOST=PORT is read too", "HOST:PORT", many=True),
    Option("--network-alias", "a further name on the network", "NAME", many=True),
    Option("--ip", "an address on the network", "ADDRESS"),
    Option("--device", "give access to a device", "DEVICE", many=True),
    Option("--privileged", "switch the confinement off"),
    Option("--userns", "a user namespace", "MODE"),
    Option("--restart", "start again at its end", "POLICY"),
    Option("--health-cmd", "a command that tells whether it is well", "COMMAND"),
)

# option's key: the library's name of it, and how its value is handed on
_FLAGS = ("read_only", "init", "replace", "detach", "tty")
_TEXTS = {
    "name": "name",
    "workdir": "workdir",
    "user": "user",
    "hostname": "hostname",
    "network": "network",
    "umask": "umask",
    "shm_size": "shm_size",
    "oom_score_adj": "oom_score_adj",
    "stop_signal": "stop_signal",
    "stop_timeout": "stop_timeout",
    "memory": "memory",
    "memory_swap": "memory_swap",
    "cpus": "cpus",
    "cpu_shares": "cpu_shares",
    "cpuset_cpus": "cpuset",
    "pids_limit": "pids",
    "ip": "ip",
    "userns": "userns",
    "restart": "restart",
    "health_cmd": "healthcheck",
}
_LISTS = {
    "volume": "volumes",
    "tmpfs": "tmpfs",
    "label": "labels",
    "dns": "dns",
    "add_host": "extra_hosts",
    "cap_add": "cap_add",
    "cap_drop": "cap_drop",
    "sysctl": "sysctls",
    "ulimit": "ulimits",
    "network_alias": "aliases",
    "device": "devices",
}


def library_options(values: Values) -> dict[str, Any]:
    """Return the options of :class:`~tinydocker.Container` that ``values`` stand for."""
    if values.flag("detach") and values.flag("interactive"):
        raise UsageError("-d and -i exclude each other: a container in the background has nobody who types")
    found: dict[str, Any] = {key: True for key in _FLAGS if values.flag(key)}
    found["auto_remove"] = values.flag("rm")
    for key, name in _TEXTS.items():
        if (text := values.text(key)) is not None:
            found[name] = text
    for key, name in _LISTS.items():
        if items := values.texts(key):
            found[name] = items
    if values.flag("privileged"):
        found["privileged"] = True
    if ports := values.texts("publish"):
        found["ports"] = [port.replace("=", ":") for port in ports]
    if env := environment(values):
        found["env"] = env
    if (entrypoint := values.text("entrypoint")) is not None:
        found["entrypoint"] = [entrypoint] if entrypoint else []
    found.update(_cpu_quota(values.text("cpu_quota")))
    found.update(_security(values.texts("security_opt")))
    if pairs := values.texts("log_opt"):
        found["log"] = _log(pairs)
    return found


def environment(values: Values) -> list[str]:
    """Return the variables of --env-file and, over them, of -e; a name alone is the caller's, when it is set."""
    items = [item for path in values.texts("env_file") for item in _lines_of(path)]
    return list(_with_callers([*items, *values.texts("env")]))


def _with_callers(items: Iterable[str]) -> Iterable[str]:
    for item in items:
        if "=" in item or not item:
            yield item
        elif item in os.environ:
            yield f"{item}={os.environ[item]}"


def _lines_of(path: str) -> list[str]:
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        lines = [line.rstrip("\r\n").lstrip() for line in file]
    return [line for line in lines if line and not line.startswith("#")]


def _cpu_quota(text: str | None) -> dict[str, float]:
    if text is None:
        return {}
    if not (text.isascii() and text.isdigit()) or int(text) < _LEAST_QUOTA_US:
        raise InvalidSpec("-c", text, f"microseconds of CPU time per {_CPU_PERIOD_US}, at least {_LEAST_QUOTA_US}")
    return {"cpus": int(text) / _CPU_PERIOD_US}


def _security(items: Iterable[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for item in items:
        at = next((i for i, letter in enumerate(item) if letter in "=:"), len(item))
        name, value = item[:at], item[at + 1 :]
        if name == "no-new-privileges" and value in ("", "true", "false"):
            found["no_new_privileges"] = value != "false"
        elif name == "seccomp" and value:
            found["seccomp"] = value
        elif name in ("apparmor", "label", "systempaths"):
            raise NotSupported(f"--security-opt {item}: {name} is not in this version")
        else:
            raise InvalidSpec("--security-opt", item, "no-new-privileges[=true|false] or seccomp=unconfined")
    return found


def _log(pairs: Iterable[str]) -> dict[str, str]:
    keys: dict[str, str] = {"max-size": "max_size", "max-file": "max_files"}
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if name not in keys or not equals:
            raise InvalidSpec("--log-opt", pair, "max-size=SIZE or max-file=NUMBER")
        found[keys[name]] = value
    return found
