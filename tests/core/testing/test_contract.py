from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from i2i import Example
from i2i.testing import ContractError, Outcome, Report
from i2i.testing.contract import Checks, example_of, listed, name_of, require, seeded


def test_all_that_is_broken_is_listed():
    checks = Checks("a plugin")
    with checks.item("net"):
        with checks.promise("values"):
            require(False, "too large; make it smaller")
        with checks.promise("speed"):
            pass
        with checks.promise("saving", mend="say how"):
            raise KeyError("width")
    with pytest.raises(ContractError) as caught:
        checks.report()
    assert str(caught.value).splitlines() == [
        "2 promises broken:",
        "  net, values: too large; make it smaller",
        "  net, saving: raises KeyError: 'width'; say how",
    ]
    assert isinstance(caught.value.__cause__, KeyError)


def test_all_that_a_plugin_raised_is_the_cause():
    checks = Checks("a plugin")
    for error in (KeyError("a"), ValueError("b")):
        with checks.promise("values"):
            raise error
    with pytest.raises(ContractError) as caught:
        checks.report()
    assert [type(error) for error in caught.value.__cause__.exceptions] == [KeyError, ValueError]


def test_nothing_is_checked_that_needs_what_is_broken():
    checks = Checks("a plugin")
    for name in ("one", "two"):
        with checks.item(name):
            with checks.promise("values", needed=True):
                require(name == "two", "not two")
            with checks.promise("more"):
                pass
    with pytest.raises(ContractError, match=r"^one, values: not two$"):
        checks.report()
    assert [(outcome.item, outcome.promise, outcome.state) for outcome in checks._outcomes] == [
        ("one", "values", "broken"),
        ("two", "values", "kept"),
        ("two", "more", "kept"),
    ]


def test_what_ends_a_process_is_not_caught():
    with pytest.raises(KeyboardInterrupt), Checks("a plugin").promise("values"):
        raise KeyboardInterrupt


def test_a_report_is_a_table():
    outcomes = (
        Outcome("net", "values", "kept"),
        Outcome("net", "gradients", "kept"),
        Outcome("net", "saving", "skipped", "it is registered by no plugin, " * 4),
        Outcome("term", "values", "kept"),
    )
    assert str(Report("a plugin 1.0", outcomes)).splitlines() == [
        "a plugin 1.0: 3 promises kept, 0 broken, 1 not checked",
        "",
        "net",
        "  kept     values, gradients",
        "  skipped  saving: it is registered by no plugin, it is registered by no plugin, it is registered by",
        "           no plugin, it is registered by no plugin,",
        "",
        "term",
        "  kept     values",
    ]


def test_a_seed_is_the_same_each_time_and_leaves_nothing_behind():
    torch.manual_seed(5)
    random.seed(5)
    np.random.seed(5)
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    drawn = []
    for _ in range(2):
        with seeded():
            drawn.append((torch.rand(1).item(), random.random(), np.random.rand()))
    assert drawn[0] == drawn[1]
    assert torch.equal(torch.get_rng_state(), states[0])
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states[1:]


def test_a_part_must_carry_an_example():
    def net():
        pass

    with pytest.raises(ContractError, match=r"carries no example: mark it with @i2i.part"):
        example_of(net)
    net.example = Example({}, ())
    assert example_of(net) == Example({}, ())


def test_factories_have_a_name():
    assert name_of(test_factories_have_a_name) == "test_factories_have_a_name"
    assert name_of(3) == "int"


def test_of_many_names_the_first_are_listed():
    assert listed(list("abcdefg")) == "a, b, c, d, e and 2 more"
    assert listed(["a"]) == "a"
