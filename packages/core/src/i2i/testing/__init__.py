"""The conformance kit: what the authors of a plugin run on what they wrote. It does not import pytest.

`check_plugin` checks all that an installed plugin registers; the others check one part or recipe. Each returns a report
that can be printed, and raises a `ContractError` that lists what is broken and how to mend it.

Example:
    >>> from i2i.losses import hinge
    >>> print(check_criterion(hinge))
    criterion: 7 promises kept, 0 broken, 0 not checked
    <BLANKLINE>
    criterion
      kept     values, inputs, generator, discriminator, scales, gradients, bf16
"""

from i2i.testing.contract import ContractError, Outcome, Report
from i2i.testing.images import write_images
from i2i.testing.losses import check_criterion, check_schedule, check_term
from i2i.testing.nets import check_discriminator, check_generator, check_layer
from i2i.testing.plugins import check_plugin
from i2i.testing.recipes import check_recipe, tiny

__all__ = [
    "ContractError",
    "Outcome",
    "Report",
    "check_criterion",
    "check_discriminator",
    "check_generator",
    "check_layer",
    "check_plugin",
    "check_recipe",
    "check_schedule",
    "check_term",
    "tiny",
    "write_images",
]
