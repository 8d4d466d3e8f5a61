import pytest


@pytest.mark.parametrize(
    "option", ["--strategy", "--importance", "--coefficients", "--schedule", "--toolchain"]
)
def test_a_misspelt_choice_is_a_usage_error_that_lists_the_choices(secateur, tmp_path, option):
    command = (
        "prune",
        "tdmpc_cartpole",
        "--target",
        "stm32f446re",
        option,
        "nothing-like-that",
        "-o",
        tmp_path / "run",
    )
    code, _, said = secateur(*command)
    assert code == 2
    assert "got 'nothing-like-that'. Choose " in said
    assert not (tmp_path / "run").exists()
