"""One turn's step: gradients of the networks that it trains, and its optimiser."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..gans import GAN, Scalars, Turn


class Optimisers:
    """The optimisers of a GAN's turns, each made when its turn first comes.

    Args:
        gan: the networks.
        device: where they are.
        dtype: what losses are computed in where a turn allows it; None for float32.
    """

    def __init__(self, gan: GAN, device: torch.device, dtype: torch.dtype | None) -> None:
        self.gan, self.device, self.dtype = gan, device, dtype
        self.by_turn: dict[str, torch.optim.Adam] = {}
        self._eras: dict[str, int] = {}
        self._loaded: dict[str, dict[str, Any]] = {}

    def gradients(self, turn: Turn, parts: Sequence[Any]) -> tuple[Tensor, Scalars]:
        """Compute the gradients of a turn over the parts of a batch; returns loss and scalars, averaged.

        Args:
            turn: what to train, and with which loss.
            parts: what :meth:`HAGANCore.gans.GAN.begin` made of each part of the batch.
        """
        recording = {*turn.trains, *turn.passes_through}
        for name, network in self.gan.networks.items():
            network.requires_grad_(name in recording)
        self._optimiser(turn).zero_grad(set_to_none=True)
        total, scalars = torch.zeros((), device=self.device), Scalars()
        # A CPU computes in bfloat16, too, where it has the instructions; float32 is no autocast at all.
        autocast = torch.autocast(
            self.device.type, self.dtype or torch.bfloat16, enabled=turn.amp and self.dtype is not None
        )
        for part in parts:
            with autocast:
                loss, of_part = turn.loss(part)
            (loss / len(parts)).backward()
            total += loss.detach().float() / len(parts)
            for name, value in of_part.items():
                scalars[name] = scalars.get(name, torch.zeros_like(value)) + value / len(parts)
        return total, scalars

    def step(self, turn: Turn) -> None:
        """Let the turn's optimiser step."""
        self._optimiser(turn).step()

    def _optimiser(self, turn: Turn) -> torch.optim.Adam:
        owner = turn.optimiser or turn.name
        if owner not in self.by_turn or self._eras[owner] != turn.era:
            parameters = [p for name in turn.trains for p in self.gan.networks[name].parameters()]
            optimiser = torch.optim.Adam(parameters, lr=turn.lr, betas=turn.betas)
            loaded = self._loaded.pop(owner, None)
            if loaded is not None and loaded["era"] == turn.era:
                optimiser.load_state_dict(loaded["state"])
            self.by_turn[owner], self._eras[owner] = optimiser, turn.era
        # The turn's rates hold, not the checkpoint's: lowering them is how a run is rescued.
        for group in self.by_turn[owner].param_groups:
            group.update(lr=turn.lr, betas=turn.betas)
        return self.by_turn[owner]

    def state_dict(self) -> dict[str, dict[str, Any]]:
        """Return the state of every optimiser, of turns that have not come since it was loaded, too."""
        made = {
            name: {"era": self._eras[name], "state": optimiser.state_dict()}
            for name, optimiser in self.by_turn.items()
        }
        return self._loaded | made

    def load_state_dict(self, state: dict[str, dict[str, Any]]) -> None:
        """Take over a state; each optimiser gets its own when its turn first comes."""
        self._loaded = dict(state)
