"""Norms fused with what follows them: kernels in Triton, each with a twin in torch's own operations.

Which of the two runs depends on the device, see `usable`. Nothing here needs Triton or a GPU to be imported.
"""

from i2i.kernels.dispatch import on_device_of, usable
from i2i.kernels.epilogue import Epilogue
from i2i.kernels.norm import Gradients, InstanceNorm, Norm, Normed, fused, gradients, instance_norm, plain

__all__ = [
    "Epilogue",
    "Gradients",
    "InstanceNorm",
    "Norm",
    "Normed",
    "fused",
    "gradients",
    "instance_norm",
    "on_device_of",
    "plain",
    "usable",
]
