"""The README.md of a model folder: a model card as the Hugging Face Hub reads it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from i2i.pixels import from_json

_CARD = """\
---
library_name: i2i
pipeline_tag: image-to-image
tags:
{tags}
---

# {title}

An image-to-image model, saved by i2i (`pip install i2i-core`).
{picture}
| | |
|---|---|
{facts}

## Use

```bash
pip install {packages}
i2i translate {folder} photo.jpg --out translated
```

```python
import i2i

net = i2i.load("{folder}"{into})
image = net(photo).image  # (b, {channels_in}, h, w) -> (b, {channels_out}, h, w), in [-1, 1]
```
"""


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
    tags = ["i2i", "image-to-image"] + ([part.partition("/")[0]] if part else [])
    channels_in, channels_out = ("c" if n is None else n for n in config["channels"])
    facts = {"architecture": f"`{part}`" if part else "not recorded: load the weights into a network of your own"}
    if spec:
        facts |= {name: f"`{json.dumps(value)}`" for name, value in spec["arguments"].items()}
    facts |= {"reads": str(from_json(config["reads"])), "writes": str(from_json(config["writes"]))}
    facts["parameters"] = f"{config['parameters']:,}"
    facts["height and width"] = f"multiples of {config['multiple']} (`i2i translate` pads any size)"
    return _CARD.format(
        tags="\n".join(f"- {tag}" for tag in tags),
        title=folder.resolve().name,
        picture="\n![sample](sample.png)\n" if picture else "",
        facts="\n".join(f"| {name} | {value} |" for name, value in facts.items()),
        packages=" ".join(name for name in config["versions"] if name != "torch"),
        folder=folder.resolve().name,
        into="" if spec else ", into=my_net",
        channels_in=channels_in,
        channels_out=channels_out,
    )
