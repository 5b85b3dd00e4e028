"""The example i2i-wandb, installed as a user would install it: its own tests pass, and i2i knows it."""

from __future__ import annotations

import re

EXAMPLE = "i2i-wandb"


def test_its_own_tests_pass(example):
    said = example.run("-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert re.search(r"^\d+ passed in ", said, re.MULTILINE), said


def test_it_is_found_and_costs_other_commands_nothing(example):
    script = "import i2i.cli, sys; i2i.cli.main(['plugins']); print({'wandb', 'torch'} & set(sys.modules))"
    said = example.run("-c", script)
    assert re.search(r"^wandb +i2i-wandb \S+ +i2i_wandb\.plugin +ok$", said, re.MULTILINE), said
    assert said.endswith("\nset()\n")
