"""What an image says about its containers, read and written."""

from __future__ import annotations

from typing import Any

import pytest

from tinydocker.errors import ImageCorrupt
from tinydocker.oci.image_config import ImageConfig

WRITTEN = {
    "User": "1000:1000",
    "Env": ["PATH=/bin", "A=b=c", "EMPTY="],
    "Entrypoint": ["/init"],
    "Cmd": ["serve", ""],
    "Volumes": {"/data": {}},
    "WorkingDir": "/srv",
    "Labels": {"a": "b"},
    "StopSignal": "SIGINT",
}


def test_a_configuration_is_read_and_written_back() -> None:
    config = ImageConfig.from_dict(WRITTEN)
    assert config.env == (("PATH", "/bin"), ("A", "b=c"), ("EMPTY", ""))
    assert (config.entrypoint, config.cmd, config.volumes) == (("/init",), ("serve", ""), ("/data",))
    assert config.to_dict() == WRITTEN


@pytest.mark.parametrize("given", [None, {}, dict.fromkeys(WRITTEN), {"OnBuild": ["x"], "Healthcheck": 5}])
def test_what_is_missing_null_or_unknown_is_empty(given: dict[str, Any] | None) -> None:
    assert ImageConfig.from_dict(given) == ImageConfig()
    assert ImageConfig().to_dict() == {}


def test_a_variable_without_a_value_sets_nothing_and_the_last_of_one_name_counts() -> None:
    assert ImageConfig.from_dict({"Env": ["A=1", "NAKED", "=x", "A=2"]}).env == (("A", "2"),)


def test_a_command_written_as_one_text_is_one_argument() -> None:
    assert ImageConfig.from_dict({"Cmd": "/bin/a b"}).cmd == ("/bin/a b",)


@pytest.mark.parametrize(
    "given",
    [[], "x", {"Env": {"A": "1"}}, {"Env": [1]}, {"Env": ["A=\0"]}, {"Cmd": 5}, {"Cmd": [None]}, {"User": 0},
     {"User": "a\0"},
     {"WorkingDir": []}, {"Labels": []}, {"Labels": {"a": 1}}, {"Volumes": ["/x"]}, {"StopSignal": 15}],
)  # fmt: skip
def test_a_known_key_of_another_type_is_a_corrupt_image(given: Any) -> None:
    with pytest.raises(ImageCorrupt):
        ImageConfig.from_dict(given)
