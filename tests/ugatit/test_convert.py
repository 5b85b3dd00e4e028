"""The authors' files through ``i2i convert``: made by the networks that are written from a description of theirs."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.utils import parametrizations, remove_spectral_norm

import i2i
from benchmarks.reference.ugatit import Discriminator, Generator, Step
from i2i.cli import main
from i2i.convert import convert_files
from i2i.parts import Spec
from i2i_ugatit.authors import discriminator, generator
from i2i_ugatit.convert import convert, key_of

WIDTH = 2


@torch.no_grad()
def drawn(net: nn.Module, seed: int = 5) -> nn.Module:
    """With weights that differ from those of every other layer, and shares of the norms between 0 and 1."""
    draw = torch.Generator().manual_seed(seed)
    for name, parameter in net.named_parameters():
        fan_in = max(parameter[0].numel(), 1)
        value = torch.randn(parameter.shape, generator=draw) / fan_in**0.5
        if name.startswith("FC.") or name.endswith((".bias", ".beta")):
            value = value.abs()  # so that something gets past every ReLU
        parameter.data = torch.sigmoid(value) if name.endswith("rho") else value
    if isinstance(net, Discriminator):  # estimates of singular values after some use
        side = 6 * 2 ** (len(net.model) // 3 - 1)
        for _ in range(3):
            net(torch.rand(1, net.model[1].in_channels, side, side, generator=draw))
    return net


def trained(layers: tuple[int, int] = (4, 3), **arguments: Any) -> dict[str, nn.Module]:
    """The six, all different."""
    nets = Step(width=WIDTH, blocks=1, layers=layers, **arguments).nets()
    return {name: drawn(net, seed) for seed, (name, net) in enumerate(nets.items())}


def states(nets: Mapping[str, nn.Module]) -> dict[str, dict[str, Tensor]]:
    return {name: net.state_dict() for name, net in nets.items()}


def saved(folder: Path, name: str, content: Mapping[str, Any], **options: Any) -> Path:
    torch.save(content, folder / name, **options)
    return folder / name


def converted(out: Path, *files: Path) -> dict[str, Any]:
    """The models by their keys; that of ``out`` itself is named by an empty string."""
    assert main(["convert", "ugatit", *map(str, files), "--out", str(out)]) == 0
    if (out / "config.json").exists():
        return {"": i2i.load(out)}
    return {folder.name: i2i.load(folder) for folder in sorted(out.iterdir())}


def spec(net: nn.Module) -> tuple[str, Mapping[str, Any]]:
    found = net.spec
    assert isinstance(found, Spec)
    return found.factory.partition(":")[2], found.arguments


def image(height: int, width: int, channels: int = 3, batch: int = 2) -> Tensor:
    draw = torch.Generator().manual_seed(9)
    return torch.rand(batch, channels, height, width, generator=draw, dtype=torch.float64) * 2 - 1


def assert_equal(ours: Any, theirs: Tensor) -> None:
    assert ours.abs().max() > 0.01
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


def assert_translates(ours: Any, theirs: Any, x: Tensor) -> None:
    made, wanted = ours.double()(x), copy.deepcopy(theirs).double()(x)
    assert_equal(made.image, wanted.out)
    assert_equal(made.extras["cam_logits"], wanted.logits)
    assert_equal(made.extras["heatmap"], wanted.heatmap)
    torch.testing.assert_close(ours.float()(x.float()).image.double(), wanted.out, rtol=0, atol=1e-5)


def assert_judges(ours: Any, theirs: list[Any], x: Tensor) -> None:
    """In eval mode, and with the power iterations of two uses in training."""
    ours.double()
    theirs = [copy.deepcopy(net).double() for net in theirs]
    before = None
    for training in (False, True, True, False):
        verdict = ours.train(training)(x)
        assert len(verdict.logits) == len(theirs)
        for scale, net in enumerate(theirs):
            wanted = net.train(training)(x)
            assert_equal(verdict.logits[scale], wanted.out)
            assert_equal(verdict.extras["cam_logits"][scale], wanted.logits)
            assert_equal(verdict.extras["heatmap"][scale], wanted.heatmap)
        assert before is None or not before.equal(verdict.logits[0]), "no power iteration"
        before = verdict.logits[0] if not training else before


# A checkpoint of six.


def test_a_checkpoint_becomes_four_models(tmp_path, capsys):
    nets = trained((7, 5))
    models = converted(tmp_path / "models", saved(tmp_path, "horses_params_0000100.pt", states(nets)))
    assert list(models) == ["a2b", "b2a", "d_a", "d_b"]
    assert spec(models["a2b"])[0] == "cam_generator"
    wanted = {"in_channels": 3, "out_channels": 3, "base_width": WIDTH, "blocks": 1, "head": "light", "size": None}
    assert spec(models["b2a"])[1] == spec(models["b2a"])[1] | wanted
    assert spec(models["d_a"])[0] == "cam_discriminator"
    assert spec(models["d_b"])[1] == spec(models["d_b"])[1] | {"base_width": WIDTH, "layers": (7, 5)}
    assert_translates(models["a2b"], nets["genA2B"], image(16, 24))
    assert_translates(models["b2a"], nets["genB2A"], image(16, 24))
    assert_judges(models["d_a"], [nets["disGA"], nets["disLA"]], image(96, 104))
    assert_judges(models["d_b"], [nets["disGB"], nets["disLB"]], image(104, 96))
    assert "ugatit/cam_generator" in capsys.readouterr().out


def test_both_directions_translate_files(tmp_path):
    models = tmp_path / "models"
    converted(models, saved(tmp_path, "latest.pt", states(trained())))
    Image.new("RGB", (18, 13), (90, 40, 10)).save(tmp_path / "photo.png")
    for direction in ("a2b", "b2a"):
        out = tmp_path / direction
        arguments = [str(models), str(tmp_path / "photo.png"), "--direction", direction, "--out", str(out)]
        assert main(["translate", *arguments]) == 0
        assert [Image.open(file).size for file in out.iterdir()] == [(18, 13)]


@pytest.mark.parametrize(
    ("names", "keys"),
    [
        (("genA2B",), [""]),
        (("genA2B", "genB2A"), ["a2b", "b2a"]),
        (("disGB", "genB2A", "disLB"), ["b2a", "d_b"]),
        (("disLA", "disGA", "disGB", "disLB"), ["d_a", "d_b"]),
    ],
)
def test_a_checkpoint_may_hold_some_of_the_six(tmp_path, names, keys):
    nets = trained()
    models = converted(tmp_path / "models", saved(tmp_path, "x.pt", states({name: nets[name] for name in names})))
    assert list(models) == keys
    for key in ("d_a", "d_b"):  # global before local, whatever the order in the file
        assert key not in models or spec(models[key])[1]["layers"] == (4, 3)


@pytest.mark.parametrize(("name", "layers", "side"), [("disGA", 4, 12), ("disLA", 3, 6)])
def test_one_half_of_a_discriminator_judges_by_itself(tmp_path, name, layers, side):
    nets = trained()
    model = converted(tmp_path / "model", saved(tmp_path, "x.pt", states({name: nets[name]})))[""]
    assert spec(model)[1]["layers"] == (layers,)
    assert_judges(model, [nets[name]], image(side, side))


def test_what_a_training_needs_beside_the_six_is_passed_over(tmp_path):
    step = Step(width=WIDTH, blocks=1)
    content = states(step.nets()) | {"step": 7, "G_optim": step.adam_G.state_dict(), "rng": torch.get_rng_state()}
    assert list(converted(tmp_path / "models", saved(tmp_path, "x.pt", content))) == ["a2b", "b2a", "d_a", "d_b"]


def test_discriminators_of_other_depth_and_width(tmp_path):
    nets = {"disGA": drawn(Discriminator(4, 3, channels=1)), "disLA": drawn(Discriminator(3, 3, channels=1))}
    model = converted(tmp_path / "model", saved(tmp_path, "x.pt", states(nets)))[""]
    wanted = {"in_channels": 1, "base_width": 3, "layers": (4, 3)}
    assert spec(model)[1] == spec(model)[1] | wanted
    assert_judges(model, list(nets.values()), image(16, 12, channels=1))


def renewed(net: nn.Module) -> nn.Module:
    """With spectral norm as newer versions of torch have it, and the same estimates."""
    new = copy.deepcopy(net)
    for name, module in list(new.named_modules()):
        state = net.state_dict()
        if f"{name}.weight_orig" in state:
            remove_spectral_norm(module)
            parametrizations.spectral_norm(module).parametrizations.weight.original.data = state[f"{name}.weight_orig"]
            module.parametrizations.weight[0]._u.copy_(state[f"{name}.weight_u"])
            module.parametrizations.weight[0]._v.copy_(state[f"{name}.weight_v"])
    return new


def test_spectral_norm_of_newer_versions_of_torch(tmp_path):
    nets = {name: net for name, net in trained().items() if name in ("disGA", "disLA")}
    content = states({name: renewed(net) for name, net in nets.items()})
    assert "model.1.parametrizations.weight.0._u" in content["disGA"]
    model = converted(tmp_path / "model", saved(tmp_path, "x.pt", content))[""]
    assert_judges(model, list(nets.values()), image(12, 16))


def test_data_parallel_half_precision_and_the_old_format(tmp_path):
    nets = {name: net.half() for name, net in trained().items()}
    content = states({name: nn.DataParallel(net) for name, net in nets.items()})
    assert "module.gap_fc.weight" in content["genA2B"]
    file = saved(tmp_path, "x.pt", content, _use_new_zipfile_serialization=False)
    models = converted(tmp_path / "models", file)
    assert {parameter.dtype for net in models.values() for parameter in net.parameters()} == {torch.float32}
    assert_translates(models["b2a"], nets["genB2A"], image(16, 16))
    assert_judges(models["d_b"], [nets["disGB"], nets["disLB"]], image(16, 12))


# Files of one network.


def test_the_two_generators_of_the_article(tmp_path):
    nets = {name: drawn(Generator(WIDTH, 6, size=32, light=False)) for name in ("genA2B", "genB2A")}
    nets["genB2A"].FC[0].weight.data *= -1
    files = [saved(tmp_path, f"{name}.pth", net.state_dict()) for name, net in nets.items()]
    models = converted(tmp_path / "models", *files)
    assert list(models) == ["a2b", "b2a"]
    for key, net in zip(("a2b", "b2a"), nets.values(), strict=True):
        assert spec(models[key])[1] == spec(models[key])[1] | {"blocks": 6, "head": "full", "size": (32, 32)}
        assert_translates(models[key], net, image(32, 32))
    assert not models["a2b"](image(32, 32).float()).image.equal(models["b2a"](image(32, 32).float()).image)


@pytest.mark.parametrize(
    ("arguments", "wanted", "size"),
    [
        ({"light": True, "width": 3, "blocks": 2}, {"base_width": 3, "blocks": 2, "head": "light"}, (20, 12)),
        ({"light": True, "blocks": 6, "channels": 1}, {"in_channels": 1, "out_channels": 1, "blocks": 6}, (24, 24)),
        ({"light": False, "size": 20, "width": 3}, {"base_width": 3, "head": "full", "size": (20, 20)}, (20, 20)),
        ({"light": False, "size": 8}, {"head": "full", "size": (8, 8)}, (8, 8)),
        # A full head for 16x16 pixels sees what a pooled one sees there.
        ({"light": False, "size": 16}, {"head": "pooled", "size": None}, (16, 16)),
    ],
)
def test_layers_of_a_generator_are_read_off_its_file(tmp_path, arguments, wanted, size):
    net = drawn(Generator(**{"width": WIDTH, "blocks": 4} | arguments))
    model = converted(tmp_path / "model", saved(tmp_path, "x.pth", net.state_dict()))[""]
    assert spec(model)[1] == spec(model)[1] | wanted
    assert_translates(model, net, image(*size, channels=arguments.get("channels", 3)))


def test_a_discriminator_by_itself(tmp_path):
    net = drawn(Discriminator(4, WIDTH))
    folder = tmp_path / "models"
    files = [saved(tmp_path, name, net.state_dict()) for name in ("disGA.pth", "disLB_A2B.pth")]
    models = converted(folder, *files)
    assert list(models) == ["disGA", "disLB_A2B"]
    assert_judges(models["disGA"], [net], image(16, 16))


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("genA2B.pth", "a2b"),
        ("genB2A.pth", "b2a"),
        ("generator_A2B.pth", "a2b"),
        ("generator_b2a.pth", "b2a"),
        ("GENB2A.pth", "b2a"),
        ("gena2b_final.pth", "a2b"),
        ("b2a.pth", "b2a"),
        ("selfie2anime_A2B_100.pth", "a2b"),
        ("horses-a2b-40.pth", "a2b"),
        ("photoB2A.pth", "b2a"),
        ("data2book.pth", "data2book"),
        ("data2b.pth", "data2b"),
        ("DATA2BASE.pth", "DATA2BASE"),
        ("A2B_and_B2A.pth", "A2B_and_B2A"),
        ("selfie2anime (1).pth", "selfie2anime-1"),
        ("...pth", "model"),
    ],
)
def test_the_key_of_a_file(name: str, key: str) -> None:
    assert key_of(name) == key


# Real size.


def on_meta(net: type[nn.Module], *arguments: Any, **keywords: Any) -> dict[str, Tensor]:
    with torch.device("meta"):
        return net(*arguments, **keywords).state_dict()


@pytest.mark.parametrize(
    ("arguments", "parameters"),
    [
        ({}, 10_589_888),
        ({"light": False}, 278_959_808),
        ({"light": False, "blocks": 6}, 283_679_424),
    ],
)
def test_generators_of_real_size_have_the_published_number_of_parameters(
    arguments: dict[str, Any], parameters: int
) -> None:
    net = generator(on_meta(Generator, **arguments))
    assert sum(parameter.numel() for parameter in net.parameters()) == parameters
    assert net.size == (None if not arguments else (256, 256))


def test_discriminators_of_real_size_have_the_published_number_of_parameters():
    net = discriminator({"disGA.": on_meta(Discriminator, 7), "disLA.": on_meta(Discriminator, 5)})
    assert sum(parameter.numel() for parameter in net.parameters()) == 53_130_176 + 3_290_560


def test_a_light_generator_of_real_size_is_a_small_file(tmp_path):
    weights = {key: torch.zeros(value.shape) for key, value in on_meta(Generator).items()}
    convert_files("ugatit", [saved(tmp_path, "genA2B.pth", weights)], tmp_path / "model")
    size = (tmp_path / "model" / "model.safetensors").stat().st_size
    assert 4 * 10_589_888 < size < 45_000_000


def test_no_weight_is_copied():
    nets = states(trained(light=False, size=32))
    models = convert(nets, "x.pt")
    held = {tensor.data_ptr() for state in nets.values() for tensor in state.values()}
    assert {tensor.data_ptr() for net in models.values() for tensor in net.state_dict().values()} == held
    alone = convert(nets["genA2B"], "x.pt")["x"]
    assert alone.style.layers[0].weight.data_ptr() == nets["genA2B"]["FC.0.weight"].data_ptr()


def test_a_converted_generator_can_be_trained_on(tmp_path):
    nets = {name: net for name, net in trained().items() if name in ("genA2B", "disLA")}
    models = converted(tmp_path / "models", saved(tmp_path, "x.pt", states(nets)))
    for net in models.values():
        net.train()
    made = models["a2b"](image(24, 24).float()).image
    verdict = models["d_a"](made)
    (verdict.logits[0].sum() + verdict.extras["cam_logits"][0].sum()).backward()
    for net in models.values():
        assert all(parameter.grad is not None for parameter in net.parameters())
