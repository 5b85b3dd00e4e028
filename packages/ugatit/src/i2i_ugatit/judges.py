"""The discriminator that belongs to a generator: models for use have none, so it is found where it was kept."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from i2i.checkpoint import latest, load_checkpoint
from i2i.errors import ModelError, RunError, SettingsError
from i2i_ugatit.recipe import make_nets
from i2i_ugatit.settings import Settings
from i2i_ugatit.step import Nets

_READS = {"a2b": "a", "b2a": "b"}  # the domain whose images each direction reads


def load_judge(model: str | Path, direction: str) -> nn.Module:
    """Load the discriminator of the domain whose images a generator reads, in eval mode.

    Args:
        model: a run of U-GAT-IT, or a folder with the models ``d_a`` and ``d_b`` in it.
        direction: ``"a2b"`` or ``"b2a"``.

    Raises:
        ModelError: the checkpoint is damaged, or was written with other settings than those that lie there.
        RunError: the run has no checkpoint.
        SettingsError: neither a run nor such a folder, or a run of another recipe.
    """
    folder = Path(model)
    domain = _READS.get(direction)
    if domain is not None and (folder / "settings.toml").is_file():
        return _of_run(folder, domain)
    if domain is not None and (folder / f"d_{domain}" / "config.json").is_file():
        from i2i.models import load

        return load(folder / f"d_{domain}")
    raise SettingsError(
        f"--judges shows the discriminators of a run, and {model} has none; "
        "name a run, or a discriminator that was saved as a model"
    )


def _of_run(run: Path, domain: str) -> nn.Module:
    settings, found = _settings(run), latest(run)
    if found is None:
        raise RunError(f"{run} has no checkpoint, and only there the discriminators are kept; leave --judges out")
    with torch.device("meta"):  # the weights come from the checkpoint
        judge: nn.Module = getattr(make_nets(settings), f"D{domain.upper()}")
    try:
        saved = load_checkpoint(found[1])["nets"][Nets._fields.index(f"D{domain.upper()}")]
        judge.load_state_dict(saved, assign=True)
    except (KeyError, IndexError, TypeError, RuntimeError) as error:
        raise ModelError(f"{found[1]} does not hold the discriminators that {run / 'settings.toml'} says") from error
    return judge.eval().requires_grad_(False)


def _settings(run: Path) -> Settings:
    from i2i.toml import changed, read_settings

    path = run / "settings.toml"
    document = read_settings(path)
    if document.recipe != "ugatit":
        raise SettingsError(f"--judges knows the discriminators of ugatit, and {run} is a run of {document.recipe}")
    return changed(Settings(), document.settings, f"{path}: [settings]")
