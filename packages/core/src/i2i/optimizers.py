"""An optimiser with its learning rate as a dial and, for fp16, its loss scale."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from i2i.errors import CompositionError, RunError
from i2i.policy import Dial, Policy
from i2i.protocols import Schedule

_FORMS = ("fused", "capturable", "foreach")
_FUSED_DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
_FUSED_ON_THE_CPU_ONLY = (torch.optim.Adagrad,)  # up to torch 2.11; on CUDA its first step would be an error


class Optimizing:
    """Builds and runs the optimiser of a player.

    Where the optimiser has a fused or capturable form it is used, on other devices than the CPU, and for graphs, with
    the learning rate as a tensor; otherwise the rate is written into its parameter groups before each step.

    Raises:
        CompositionError: fp16 with an optimiser that has no fused form.
    """

    def __init__(
        self,
        factory: Callable[..., torch.optim.Optimizer],
        parameters: list[nn.Parameter],
        lr: float | Schedule,
        policy: Policy,
    ) -> None:
        first = parameters[0]
        # The kernels of other devices read the rate as float32; on the CPU float64 keeps it exact.
        self._lr = Dial(lr, torch.float64 if first.device.type == "cpu" else torch.float32, first.device)
        form = _form(factory, first)
        if policy.graphed and first.is_cuda and "capturable" in inspect.signature(factory).parameters:
            form["capturable"] = True
        # On the CPU the host, which knows the rate, would read it from a tensor in each step.
        self._tensor_lr = any(form.values()) and (policy.graphed or first.device.type != "cpu")
        self._optimizer = factory(parameters, lr=self._lr.tensor if self._tensor_lr else self._lr.values[0], **form)
        self._refuses_graphs = policy.graphed and first.is_cuda and not self._tensor_lr
        self._scaler: torch.amp.GradScaler | None = None
        if policy.precision == "fp16":
            if not form.get("fused"):
                raise CompositionError(f"fp16 needs an optimiser with a fused form, such as Adam; {factory} has none")
            self._scaler = torch.amp.GradScaler(first.device.type)
        self._bind()

    def _bind(self) -> None:
        for group in self._optimizer.param_groups:
            group["lr"] = self._lr.tensor if self._tensor_lr else self._lr.values[0]

    def turn(self, now: int) -> None:
        """Set the learning rate for batch ``now``."""
        self._lr.turn(now)
        if not self._tensor_lr:
            self._bind()

    def scaled(self, weights: Dial, count: int) -> Sequence[Tensor]:
        """Return the gradients that backward starts from: the weights of the terms, for one of ``count`` parts."""
        if self._scaler is None and count == 1:
            return weights.items
        gradients = weights.tensor / count
        return (gradients if self._scaler is None else self._scaler.scale(gradients)).unbind()

    def step(self) -> None:
        """Move the parameters.

        Raises:
            RunError: this is captured in a graph, and the optimiser takes no learning rate that a graph could read.
        """
        if self._refuses_graphs and torch.cuda.is_current_stream_capturing():
            kind = type(self._optimizer).__name__
            raise RunError(f"{kind} reads its learning rate on the host, where a graph would never see it change")
        if self._scaler is None:
            self._optimizer.step()
        else:
            self._scaler.step(self._optimizer)
            self._scaler.update()

    def state_dict(self) -> dict[str, Any]:
        """Return what is to be saved: all but the learning rate, which follows from the batch, and the form."""
        scaler = None if self._scaler is None else self._scaler.state_dict()
        saved = self._optimizer.state_dict()
        groups = [{k: v for k, v in group.items() if k not in ("lr", *_FORMS)} for group in saved["param_groups"]]
        kind = type(self._optimizer).__name__
        return {"kind": kind, "optimizer": {**saved, "param_groups": groups}, "scaler": scaler}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on from what was saved, in the form that suits this device.

        Raises:
            RunError: it was saved by another optimiser, or one of other parameters.
        """
        kind = type(self._optimizer).__name__
        if saved.get("kind", kind) != kind:  # i2i 0.1 saved none
            raise RunError(f"saved was the optimiser {saved['kind']}, but here it is {kind}")
        own = [{name: group[name] for name in _FORMS if name in group} for group in self._optimizer.param_groups]
        try:
            groups = [{**group, **form} for group, form in zip(saved["optimizer"]["param_groups"], own, strict=True)]
            self._optimizer.load_state_dict({**saved["optimizer"], "param_groups": groups})
        except ValueError as error:
            raise RunError(f"saved was {kind} of other parameters ({error})") from error
        self._lay_out()
        self._bind()
        if self._scaler is not None and saved["scaler"] is not None:
            self._scaler.load_state_dict(saved["scaler"])

    def _lay_out(self) -> None:
        """Bring what was read to the memory format of its parameter; fused forms go by that and take it for granted."""
        for parameter, state in self._optimizer.state.items():
            for name, value in state.items():
                alike = isinstance(value, Tensor) and value.shape == parameter.shape
                if alike and value.stride() != parameter.stride():
                    state[name] = torch.empty_like(parameter, dtype=value.dtype, requires_grad=False).copy_(value)


def _form(factory: Callable[..., torch.optim.Optimizer], parameter: nn.Parameter) -> dict[str, bool]:
    """Return the keyword that asks ``factory`` for its fastest form on this device; {} where it offers none."""
    offered = inspect.signature(factory).parameters
    chosen = getattr(factory, "keywords", {})
    if any(name in chosen for name in _FORMS):
        return {name: chosen[name] for name in ("fused", "capturable") if name in chosen}
    devices = ("cpu",) if getattr(factory, "func", factory) in _FUSED_ON_THE_CPU_ONLY else ("cpu", "cuda")
    if "fused" in offered and parameter.device.type in devices and parameter.dtype in _FUSED_DTYPES:
        return {"fused": True}
    if "capturable" in offered and parameter.is_cuda:
        return {"capturable": True}
    return {}
