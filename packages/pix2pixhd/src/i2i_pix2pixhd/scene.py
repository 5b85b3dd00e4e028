"""From scenes to images: a generator with all that belongs to it, from maps of ids to pixels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from i2i.data import Colours
from i2i.errors import DataError, SettingsError
from i2i.parts import Example, part
from i2i.passes import extent
from i2i.values import Translation
from i2i_pix2pixhd.conditions import boundaries as edges_of
from i2i_pix2pixhd.encoder import FeatureEncoder
from i2i_pix2pixhd.generators import GlobalGenerator, LocalEnhancer, global_generator


class SceneGenerator(nn.Module):
    """Makes the image of a scene: of a label map, an instance map and a style for each object, as far as it has them.

    Attributes:
        generator: makes the image of one-hot labels (or colours), edges and features.
        encoder: finds the features of objects in real images; None for a model without styles.
        labels: classes of the label map; 0 where the scene is an image itself.
        boundaries: whether the generator sees the edges of the instances.
        features: numbers that make up the style of an object; 0 without an encoder.
        palette: the colour of each class where label maps are colour images; None where they hold ids.
        multiple: height and width must be multiples of it.
        smallest: the least height and width.
        in_channels: of the scene: 1 for a map of ids, else those of the image.
        out_channels: of the image that is made.
        takes: ``"labels"``: it needs maps; None: it translates images.
    """

    def __init__(
        self,
        generator: GlobalGenerator | LocalEnhancer,
        encoder: FeatureEncoder | None,
        boundaries: bool,
        palette: Colours | None,
    ) -> None:
        super().__init__()
        self.generator, self.encoder = generator, encoder
        self.labels, self.boundaries, self.palette = generator.labels, boundaries, palette
        self.features = 0 if encoder is None else encoder.out_channels
        colours = generator.in_channels - boundaries - self.features
        self.in_channels = 1 if self.labels else colours
        self.out_channels = generator.out_channels
        # Both must accept the image; their multiples are powers of two.
        self.multiple = max(generator.multiple, 1 if encoder is None else encoder.multiple)
        least = max(generator.smallest, 1 if encoder is None else encoder.smallest)
        self.smallest = -(-least // self.multiple) * self.multiple
        self.takes = "labels" if self.labels or boundaries or self.features else None

    def forward(self, image: Tensor, condition: Tensor | None = None) -> Translation:
        """Make the image of a scene, with neutral styles.

        Args:
            image: labels ``(b, 1, h, w)`` (integers), or where there are no classes an image in ``[-1, 1]``.
            condition: instance ids ``(b, 1, h, w)`` (integers); None for a model without boundaries.

        Raises:
            DataError: the model needs an instance map, or the sizes do not fit.
        """
        return self.render(image, condition)

    def render(self, labels: Tensor, instances: Tensor | None = None, features: Tensor | None = None) -> Translation:
        """Make the image of a scene.

        Args:
            labels: class ids ``(b, 1, h, w)`` (integers), or an image where there are no classes.
            instances: ids ``(b, 1, h, w)`` (integers); they are used for their boundaries only.
            features: the style at each pixel ``(b, features, h, w)``; zeros when left out.

        Raises:
            DataError: the model needs an instance map, or the sizes do not fit.
        """
        channels = []
        if self.boundaries:
            channels.append(self.edges(instances))
        if self.features:
            shape = (len(labels), self.features, *labels.shape[-2:])
            channels.append(torch.zeros(shape, device=labels.device) if features is None else features)
        joined = torch.cat(channels, dim=1) if channels else None
        made: Translation = self.generator(labels, joined)
        return made

    def edges(self, instances: Tensor | None) -> Tensor:
        """Return the boundaries ``(b, 1, h, w)`` of instances.

        Raises:
            DataError: there are none.
        """
        if instances is None:
            raise DataError("this model sees the boundaries of objects: it needs an instance map beside the labels")
        return edges_of(instances)

    def encode(self, image: Tensor, labels: Tensor, instances: Tensor | None = None) -> Tensor:
        """Find the styles of a real image.

        Args:
            image: ``(b, c, h, w)`` in ``[-1, 1]``.
            labels: as for `render`.
            instances: ids ``(b, 1, h, w)``; a class is one object where there are none.

        Returns:
            ``(b, features, h, w)`` in ``[-1, 1]``, equal for all pixels of an object.

        Raises:
            SettingsError: the model has no encoder.
        """
        if self.encoder is None:
            raise SettingsError("this model was trained without styles; train one with --styles")
        made: Translation = self.encoder(image, self.regions(labels, instances))
        return made.image

    def regions(self, labels: Tensor, instances: Tensor | None = None) -> Tensor:
        """Return the ids of what has a style of its own: instances, or classes where there are none.

        Raises:
            DataError: there are neither instances nor classes.
        """
        if instances is not None:
            return instances
        if not self.labels:
            raise DataError("styles belong to objects: without classes an instance map is needed")
        return labels


def _small() -> GlobalGenerator:
    with torch.random.fork_rng(devices=[]):  # importing draws nothing
        return global_generator(base_width=2, downs=2, blocks=1)


@part(example=Example({"generator": _small(), "boundaries": False}, ((1, 3, 16, 16),)))
def scene_generator(
    generator: nn.Module,
    encoder: nn.Module | None = None,
    *,
    boundaries: bool = True,
    palette: Colours | None = None,
) -> SceneGenerator:
    """Make a generator of scenes; it is what a training saves for use.

    Args:
        generator: a `global_generator` or `local_enhancer` that reads labels (or an image), an edge map if there are
            ``boundaries``, and the features of the ``encoder``.
        encoder: a `feature_encoder`, for styles.
        boundaries: whether the generator sees the edges of an instance map.
        palette: the colour of each class, where label maps are colour images.

    Raises:
        SettingsError: the parts do not fit together.

    Example:
        >>> from i2i_pix2pixhd.generators import global_generator
        >>> net = scene_generator(global_generator(1, labels=5, base_width=2, downs=2, blocks=1))
        >>> scene = torch.zeros(1, 1, 16, 24, dtype=torch.int32)
        >>> net(scene, scene).image.shape
        torch.Size([1, 3, 16, 24])

    References:
        Wang et al., High-Resolution Image Synthesis and Semantic Manipulation with Conditional GANs, sections 3.3, 3.4.
    """
    if not isinstance(generator, GlobalGenerator | LocalEnhancer):
        raise SettingsError(f"generator must be a global_generator or a local_enhancer, not {type(generator).__name__}")
    if encoder is not None and not isinstance(encoder, FeatureEncoder):
        raise SettingsError(f"encoder must be a feature_encoder, not {type(encoder).__name__}")
    features = 0 if encoder is None else encoder.out_channels
    left = generator.in_channels - boundaries - features
    if left < 0 or bool(left) == bool(generator.labels):
        wanted = f"{int(boundaries) + features}" + ("" if generator.labels else " and those of an image")
        raise SettingsError(
            f"in_channels (={generator.in_channels}) of the generator must be {wanted}: edges {int(boundaries)}, "
            f"features {features}"
        )
    if palette is not None and len(palette) != generator.labels:
        raise SettingsError(f"palette has {len(palette)} colours, but there are {generator.labels} classes")
    return SceneGenerator(generator, encoder, boundaries, palette)


def whole_scene(
    model: SceneGenerator, labels: Tensor, instances: Tensor | None = None, features: Tensor | None = None
) -> Tensor:
    """Make the image of scenes of any size: they are continued by reflection on all sides, and it is cropped back.

    Args:
        model: in eval mode.
        labels: see `SceneGenerator.render`, like the next two; all of one size.
        instances: ids of objects.
        features: styles.

    Returns:
        ``(b, c, h, w)`` float32, nominally in ``[-1, 1]``, not clamped.

    Raises:
        DataError: the maps differ in size, or one is missing.
    """
    scene = [labels, instances, features]
    sizes = {tuple(each.shape[-2:]) for each in scene if each is not None}
    if len(sizes) > 1:
        raise DataError(f"the maps of a scene differ in size: {' and '.join(f'{w}x{h}' for h, w in sorted(sizes))}")
    rows, columns = (extent(size, model) for size in labels.shape[-2:])
    if (rows.size, columns.size) != (rows.whole, columns.whole):
        y, x = rows.places(labels.device), columns.places(labels.device)
        scene = [None if each is None else each[..., y[:, None], x] for each in scene]
    with torch.inference_mode():
        made = model.render(*scene).image  # type: ignore[arg-type]
    return made[..., rows.crop, columns.crop].float()
