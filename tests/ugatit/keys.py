"""What the authors' weights are called in ours; for tests, written from the two lists of layers."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from benchmarks.reference.ugatit import Step
from i2i_ugatit.step import Nets

_OF_GENERATOR = {
    "DownBlock": "encoder",
    "gap_fc": "cam.average",
    "gmp_fc": "cam.maximum",
    "conv1x1": "cam.fuse",
    "FC": "style.layers",
    "gamma": "style.gamma",
    "beta": "style.beta",
}
_OF_SCALE = {
    "model": "layers",
    "gap_fc": "cam.average",
    "gmp_fc": "cam.maximum",
    "conv1x1": "cam.fuse",
    "conv": "head.1",
}
_WAY_UP = {"2": "0", "3": "1", "7": "3", "8": "4", "11": "7"}  # they have upsampling and padding in layers of their own
_SPECTRAL = {"weight_orig": "weight", "weight_u": "norm.u", "weight_v": "norm.v"}


def of_generator(theirs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a generator's weights under our names."""
    return {_generator_key(key): value for key, value in theirs.items()}


def of_scale(theirs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a discriminator's weights under our names within its scale."""
    return {_scale_key(key): value for key, value in theirs.items()}


def of_scales(*theirs: nn.Module) -> dict[str, Tensor]:
    """Return the weights of discriminators that are the scales of one of ours."""
    scales = enumerate(of_scale(net.state_dict()) for net in theirs)
    return {f"scales.{number}.{key}": value for number, scale in scales for key, value in scale.items()}


def copy_weights(theirs: Step, ours: Nets) -> None:
    """Give our nets the weights of theirs."""
    ours.G.load_state_dict(of_generator(theirs.genA2B.state_dict()))
    ours.F.load_state_dict(of_generator(theirs.genB2A.state_dict()))
    ours.DA.load_state_dict(of_scales(theirs.disGA, theirs.disLA))
    ours.DB.load_state_dict(of_scales(theirs.disGB, theirs.disLB))


def _generator_key(key: str) -> str:
    head, _, rest = key.partition(".")
    if head.startswith("UpBlock1_"):
        return f"decoder.{int(head.removeprefix('UpBlock1_')) - 1}.{rest}"
    if head == "UpBlock2":
        place, _, name = rest.partition(".")
        return f"up.{_WAY_UP[place]}.{name}"
    return f"{_OF_GENERATOR[head]}.{rest}".replace("conv_block", "layers")


def _scale_key(key: str) -> str:
    head, _, rest = key.partition(".")
    *place, name = rest.split(".")
    ours = ".".join([_OF_SCALE[head], *place])
    return f"{ours}.{_SPECTRAL.get(name, name)}"
