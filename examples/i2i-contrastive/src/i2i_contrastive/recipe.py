"""The recipe ``contrastive``: networks, step, data."""

from __future__ import annotations

from torch import Tensor, nn

from i2i import Pair, RunSettings
from i2i.data import Prepared, prepare
from i2i.directions import evaluation
from i2i.errors import SettingsError
from i2i.recipes import Recipe
from i2i_contrastive.features import FeaturedGenerator
from i2i_contrastive.heads import heads_for
from i2i_contrastive.networks import Probe, make_discriminator, make_generator, probe
from i2i_contrastive.settings import Settings, preset_of
from i2i_contrastive.step import Nets, build_step


def build(settings: Settings, run: RunSettings) -> Recipe:
    """Build the recipe; see `i2i_contrastive.settings.Settings`.

    Raises:
        SettingsError: settings that do not fit together.
        PluginError: a part that is not installed.
    """
    found = probe(settings)
    prepared = prepare(run, settings, batch_size=settings.batch_size, multiple=found.multiple, smallest={})
    length = _length(settings, prepared)
    return Recipe(
        nets=lambda: make_nets(settings, found, prepared),
        step=build_step(settings, length),
        data=prepared.batches,
        length=length,
        preview_batch=prepared.preview,
        preview=preview,
        models=models,
        evaluation=evaluation(prepared)._replace(results=results),
    )


def make_nets(settings: Settings, found: Probe, prepared: Prepared) -> Nets:
    """Make the networks, newly initialised."""
    net = make_generator(settings)
    net.reads, net.writes = prepared.formats()  # type: ignore[assignment]
    heads = heads_for(found.channels, width=settings.projection_width)
    return Nets(FeaturedGenerator(net, found.layers), heads, make_discriminator(settings))


def preview(nets: Nets, batch: Pair) -> dict[str, Tensor]:
    """Return the columns of a sample picture."""
    return {"a": batch.a, "a to b": nets.G(batch.a).image, "b": batch.b, "b to b": nets.G(batch.b).image}


def models(nets: Nets) -> dict[str, nn.Module]:
    """Return what is saved for use: the generator itself, so that loading it does not take this plugin."""
    return {"": nets.G.net}


def results(nets: Nets, batch: Pair) -> dict[str, tuple[Tensor, Tensor]]:
    """Return what is made and what there is of domain B; a side of the batch may have no images left."""
    return {"": (nets.G(batch.a).image if len(batch.a) else batch.a, batch.b)}


def _length(settings: Settings, prepared: Prepared) -> int:
    if settings.steps is not None:
        return settings.steps
    batches = prepared.batches()
    if not hasattr(batches, "__len__"):
        raise SettingsError("the length of a streamed dataset is unknown: say how long the run is with --steps")
    return len(batches) * preset_of(settings).epochs
