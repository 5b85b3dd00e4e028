"""The README.md of a model folder: a model card as the Hugging Face Hub reads it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from i2i.pixels import TAKEN, from_json
from i2i.registry import help_for

_CARD = """\
---
library_name: i2i
pipeline_tag: {task}
tags:
{tags}
---

# {title}

{kind}, saved by i2i (`pip install i2i-core`).
{picture}
| | |
|---|---|
{facts}

## Use

```bash
pip install {packages}
{command}
```

```python
import i2i

net = i2i.load("{folder}"{into})
{call}
```
"""
_CALL = "image = net({given}).image  # (b, {channels_in}, h, w) -> (b, {channels_out}, h, w), in [-1, 1]"
_CALL_OF_MAPS = """\
# labels: {labels}
# instances: a number for each object, int32 (b, 1, h, w); a net that sees no boundaries leaves them aside
image = net(labels, instances).image  # (b, {channels_out}, h, w), in [-1, 1]"""


def model_card(config: Mapping[str, Any], folder: Path, *, picture: bool) -> str:
    """Write the card.

    Args:
        config: what ``config.json`` holds.
        folder: where the model is; its name is the title.
        picture: whether there is a ``sample.png``.

    Returns:
        Markdown with YAML front matter.
    """
    spec = config["spec"]
    part = spec["part"] if spec else None
    plugin = [part.partition("/")[0]] if part else []
    takes = config.get("takes", "")
    taken = TAKEN.get(takes)
    task = "unconditional-image-generation" if taken == "noise" else "image-to-image"
    channels_in, channels_out = ("c" if n is None else n for n in config["channels"])
    facts = {"architecture": f"`{part}`" if part else "not recorded: load the weights into a network of your own"}
    if spec:
        facts |= {name: f"`{json.dumps(value)}`" for name, value in spec["arguments"].items()}
    facts |= {"reads": taken or str(from_json(config["reads"]))}
    facts |= {"writes": str(from_json(config["writes"])), "parameters": f"{config['parameters']:,}"}
    if takes != "noise":
        padded = "" if taken else " (`i2i translate` pads any size)"
        facts["height and width"] = f"multiples of {config['multiple']}{padded}"
    if "size" in config:
        facts["height and width"] = "{} and {}; others with `i2i translate --fit`".format(*config["size"])
    fit = " --fit" if "size" in config else ""
    name = folder.resolve().name
    return _CARD.format(
        task=task,
        tags="\n".join(f"- {tag}" for tag in ["i2i", task, *plugin]),
        title=name,
        kind=f"A model that makes images of {taken}" if taken else "An image-to-image model",
        picture="\n![sample](sample.png)\n" if picture else "",
        facts="\n".join(f"| {name} | {value} |" for name, value in facts.items()),
        packages=" ".join(name for name in config["versions"] if name != "torch"),
        command=help_for(part) if taken else f"i2i translate {name} photo.jpg --out translated{fit}",
        folder=name,
        into="" if spec else ", into=my_net",
        call=_call(takes, channels_in, channels_out),
    )


def _call(takes: str, channels_in: int | str, channels_out: int | str) -> str:
    """Show how the net is called; nets of noise and of images take one tensor."""
    if takes != "labels":
        return _CALL.format(given=takes or "photo", channels_in=channels_in, channels_out=channels_out)
    labels = f"an image, float32 (b, {channels_in}, h, w) in [-1, 1]"
    if channels_in == 1:  # a grey image has as many as a map
        labels = "class ids, int32 (b, 1, h, w); where there are no classes, a grey image in [-1, 1]"
    return _CALL_OF_MAPS.format(labels=labels, channels_out=channels_out)
