"""Every shipped board loads; what is wrong in a file is one error that says so."""

import pytest

from secateur.errors import SecateurError
from secateur.operators.kernels import KERNELS
from secateur.records import Range
from secateur.target.target import list_targets, load_target

MINIMAL = """
inherit = "cortex-m4"
description = "a board"
source = "nobody"
clock_hz = 100e6
flash_bytes = 65536
flash_origin = 0
ram_bytes = 8192
ram_origin = 0x20000000
network_share = 0.5
"""


@pytest.mark.parametrize("name", list_targets())
def test_shipped_boards(name):
    target = load_target(name)
    assert target.name == name
    assert set(target.kernels) == set(KERNELS)
    assert 0 < target.network_flash_bytes <= target.flash_bytes
    assert 0 < target.network_ram_bytes <= target.ram_bytes
    assert target.latency.source
    assert target.latency.validity
    assert target.fit.max_error <= 0.03


def test_figures_of_the_f446():
    target = load_target("stm32f446re")
    assert (target.core, target.clock_hz, target.flash_bytes, target.ram_bytes) == (
        "cortex-m4",
        180e6,
        512 * 1024,
        128 * 1024,
    )
    assert target.latency_s(180e6) == Range(1.5, 1.75)


def write(tmp_path, text):
    path = tmp_path / "board.toml"
    path.write_text(text)
    return path


def refusal(name):
    with pytest.raises(SecateurError) as caught:
        load_target(name)
    return str(caught.value)


def test_own_board_inherits(tmp_path):
    target = load_target(write(tmp_path, MINIMAL))
    assert target.name == "board"
    assert target.kernels == load_target("stm32f446re").kernels
    assert load_target(str(tmp_path / "board.toml")) == target


def test_one_key_of_a_table_can_be_overridden(tmp_path):
    target = load_target(write(tmp_path, MINIMAL + "[latency]\ncycles_per_instruction_low = 1.6\n"))
    assert target.latency.cycles_per_instruction_low == 1.6
    assert target.latency.cycles_per_instruction_high == 1.75


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("flash_bytes =", "flash_size ="), ("flash_size", "Did you mean flash_bytes?")),
        (("clock_hz =", "clokc_hz ="), ("clokc_hz", "Did you mean clock_hz?")),
        (
            ("network_share = 0.5", "network_share = 0.5\n[latency]\ncycles = 1.0"),
            ("latency.cycles", "cycles_per_instruction"),
        ),
        (
            (
                "network_share = 0.5",
                "network_share = 0.5\n[kernels.fully_connected.instructions]\nblok = 1.0",
            ),
            ("fully_connected", "blok"),
        ),
        (("network_share = 0.5", "network_share = 0.5\n[kernels.conv]\ncode_bytes = 1"), ("kernels.conv",)),
        (("network_share = 0.5", "network_share = 1.5"), ("network_share",)),
        (("ram_bytes = 8192", 'ram_bytes = "8KiB"'), ("ram_bytes",)),
        (("ram_bytes = 8192", ""), ("ram_bytes", "required")),
        (("cortex-m4", "cortex-m9"), ("cortex-m9",)),
        (("cortex-m4", "board"), ("board",)),
        (("clock_hz = 100e6", "clock_hz = "), ("board.toml",)),
        (
            ("network_share = 0.5", "network_share = 0.5\n[latency]\ncycles_per_instruction_low = 9.0"),
            ("above",),
        ),
    ],
)
def test_mistakes_are_named(tmp_path, change, expected):
    message = refusal(write(tmp_path, MINIMAL.replace(*change)))
    assert all(part in message for part in expected), message


def test_unknown_board_lists_boards():
    assert "Did you mean stm32f446re?" in refusal("stm32f446")
    assert all(name in refusal("nothing like it") for name in list_targets())


def test_missing_file(tmp_path):
    assert "No such file" in refusal(tmp_path / "none.toml")


def test_a_core_is_not_a_board():
    assert "cortex-m4.toml is a core" in refusal("cortex-m4")
