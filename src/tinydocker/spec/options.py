"""The table of a container's options: which field of `ContainerSpec` each one sets, and how it is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .capabilities import parse_capabilities
from .command import parse_command, parse_entrypoint, parse_workdir
from .hostnames import parse_dns, parse_extra_hosts, parse_hostname
from .later import LATER, refuse_later
from .logs import parse_log
from .mounts import parse_tmpfs, parse_volumes
from .pairs import parse_env, parse_labels
from .parse import parse_bool, parse_duration, parse_int, parse_name, parse_signal, parse_size, parse_text, parse_umask
from .sysctls import parse_sysctls
from .ulimits import parse_ulimits
from .users import parse_user

Reader = Callable[[str, object], Any]


def _oom_score_adj(option: str, value: object) -> int:
    # Source: proc_pid_oom_score_adj(5).
    return parse_int(option, value, -1000, 1000)


# option: (field, reader). A value of None stands for the field's default and reaches no reader.
OPTIONS: Mapping[str, tuple[str, Reader]] = {
    "command": ("command", parse_command),
    "entrypoint": ("entrypoint", parse_entrypoint),
    "name": ("name", parse_name),
    "env": ("env", parse_env),
    "workdir": ("workdir", parse_workdir),
    "user": ("user", parse_user),
    "hostname": ("hostname", parse_hostname),
    "labels": ("labels", parse_labels),
    "shm_size": ("shm_size_bytes", parse_size),
    "ulimits": ("ulimits", parse_ulimits),
    "umask": ("umask", parse_umask),
    "oom_score_adj": ("oom_score_adj", _oom_score_adj),
    "volumes": ("volumes", parse_volumes),
    "tmpfs": ("tmpfs", parse_tmpfs),
    "read_only": ("read_only", parse_bool),
    "network": ("network", parse_text),
    "dns": ("dns", parse_dns),
    "extra_hosts": ("extra_hosts", parse_extra_hosts),
    "cap_add": ("cap_add", parse_capabilities),
    "cap_drop": ("cap_drop", parse_capabilities),
    "no_new_privileges": ("no_new_privileges", parse_bool),
    "sysctls": ("sysctls", parse_sysctls),
    "init": ("init", parse_bool),
    "tty": ("tty", parse_bool),
    "stdin": ("stdin", parse_bool),
    "stop_signal": ("stop_signal", parse_signal),
    "stop_timeout": ("stop_timeout_s", parse_duration),
    "detach": ("detach", parse_bool),
    "auto_remove": ("auto_remove_given", parse_bool),
    "replace": ("replace", parse_bool),
    "log": ("log", parse_log),
}
FIELD_READERS: Mapping[str, Reader] = dict(OPTIONS.values())
OPTION_NAMES: frozenset[str] = frozenset(OPTIONS) | frozenset(LATER)


def read_options(options: Mapping[str, object], defaults: Mapping[str, object]) -> dict[str, Any]:
    """Return the fields that ``options`` set; None sets the field's default out of ``defaults``.

    Raises `TypeError` for an unknown option, `InvalidSpec` for a value that is not accepted,
    `NotSupported` for what this version does not have.
    """
    for option in options:
        if option not in OPTION_NAMES:
            raise TypeError(_unknown(option))
    fields: dict[str, Any] = {}
    for option, value in options.items():
        refuse_later(option, value)
        if option in OPTIONS:
            field, read = OPTIONS[option]
            fields[field] = defaults[field] if value is None else read(option, value)
    return fields


def _unknown(option: str) -> str:
    import difflib

    close = difflib.get_close_matches(option, OPTION_NAMES, n=1)
    return f"unknown option {option!r}" + (f"; did you mean {close[0]!r}?" if close else "")
