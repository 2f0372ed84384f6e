"""The formula teacher: ResNet18's first stages, trained to tell procedural textures apart, without any photograph."""

import logging
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from destseg.dataset import textures
from destseg.dataset.procedural import Image, render
from destseg.files import replacing
from destseg.model.blocks import kaiming_init
from destseg.model.device import autocast, placed
from destseg.model.resnet18 import ResNet18
from destseg.model.weights import save_weights

log = logging.getLogger(__name__)
EVERY, SAVE_EVERY = 5.0, 60.0  # seconds between two lines of progress, between two saved states
CPU = torch.device("cpu")
RECORDED = ("classes", "images_per_class", "steps", "seed")  # what the file says about its making


@dataclass(frozen=True, kw_only=True)
class PretrainSettings:
    """How the formula teacher is trained; the defaults took 24 minutes on one CPU core with bf16, partly in use."""

    classes: int = 1000
    """Procedural textures to tell apart."""
    images_per_class: int = 16
    """Photographs rendered of each."""
    size: int = 96
    """Side of the square crops in pixels in the last two fifths of the steps."""
    first_size: int = 64
    """Their side before that: most is learned at less than half the cost."""
    steps: int = 1600
    """Optimiser steps."""
    batch: int = 96
    """Crops a step."""
    lr: float = 2e-3
    """Peak learning rate of AdamW: linear warm-up over the first 5 %, then a cosine to 0."""
    weight_decay: float = 0.05
    """Decoupled weight decay of the convolutions and of the head."""
    label_smoothing: float = 0.1
    """Share of the target given to all classes alike."""


class Classifier(ResNet18):
    """The teacher's stages, ResNet18's last one and a linear head, all learning: as ImageNet's is trained."""

    def __init__(self, classes: int) -> None:
        super().__init__(deep=True)
        self.head = nn.Linear(512, classes)
        kaiming_init(self)

    def logits(self, x: Tensor) -> Tensor:
        """[B, classes] for x: [B, 3, H, W] normalised."""
        logits: Tensor = self.head(self.deepest(self(x)[-1]).mean((2, 3)))
        return logits


def augment(photographs: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """uint8 [B, 3, H, W] to normalised float [B, 3, size, size]: crop, turn, flip, contrast, colour, grey."""
    batch, _, height, _ = photographs.shape

    def normal(deviation: float, *shape: int) -> Tensor:
        return torch.randn(batch, *shape, generator=generator) * deviation

    def chance(probability: float) -> Tensor:
        return torch.rand(batch, generator=generator) < probability

    scale = size / height * torch.exp(torch.empty(batch).uniform_(math.log(0.7), math.log(1.1), generator=generator))
    angle, flip = normal(0.15), torch.where(chance(0.5), -1.0, 1.0)
    rows = (torch.cos(angle) * flip, -torch.sin(angle), torch.sin(angle) * flip, torch.cos(angle))
    turn = torch.stack(rows, 1).view(batch, 2, 2) * scale[:, None, None]
    room = (1 - scale).clamp(min=0)[:, None, None]
    shift = (torch.rand(batch, 2, 1, generator=generator) * 2 - 1) * room
    grid = F.affine_grid(torch.cat([turn, shift], 2), [batch, 3, size, size], align_corners=False)
    x = F.grid_sample(photographs.float() / 255, grid, padding_mode="reflection", align_corners=False)
    # Colour and contrast vary, so that the mean colour alone does not give the class away; but not widely, since
    # a teacher that does not see colour cannot show its student a stain.
    x = torch.where(chance(0.1)[:, None, None, None], x.mean(1, keepdim=True), x)
    middle = x.mean((2, 3), keepdim=True)
    x = (x - middle) * torch.exp(normal(0.15, 1, 1, 1)) + middle * torch.exp(
        normal(0.15, 1, 1, 1) + normal(0.05, 3, 1, 1)
    )
    x = x.clamp(0, 1)
    mean, std = (torch.tensor(values).view(3, 1, 1) / 255 for values in (ResNet18.mean, ResNet18.std))
    return (x - mean) / std


def pretrain(out: Path, *, settings: PretrainSettings, seed: int = 0, device: torch.device = CPU) -> float:
    """Train and write the teacher to `out` (safetensors); returns the running accuracy on its crops, 0 to 1.

    Interrupted, it goes on from `out` with the suffix .resume when called with the same settings and seed again.
    """
    photographs = _photographs(settings, seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = Classifier(settings.classes).train()
    net = placed(net, device)
    optimiser = torch.optim.AdamW(_groups(net, settings.weight_decay), lr=settings.lr)
    identity: dict[str, object] = {**asdict(settings), "seed": seed}
    resume = out.with_suffix(".resume")
    first = _resume(resume, net, optimiser, identity, device)
    accuracy, started = 0.0, time.monotonic()
    spoken = saved = started
    for step in range(first, settings.steps):
        for group in optimiser.param_groups:
            group["lr"] = settings.lr * schedule(step, settings.steps)
        loss, right = _step(net, optimiser, photographs, settings, seed, step, device)
        accuracy = right if step == first else 0.95 * accuracy + 0.05 * right
        now = time.monotonic()
        if now - spoken > EVERY or step == settings.steps - 1:
            left = (now - started) / (step + 1 - first) * (settings.steps - 1 - step)
            done = f"step {step + 1} of {settings.steps}"
            log.info("%s: loss %.3f, accuracy %.3f, %.0f s left", done, loss, accuracy, left)
            spoken = now
        if now - saved > SAVE_EVERY:
            state = {"net": net.state_dict(), "optimiser": optimiser.state_dict(), "step": step + 1}
            with replacing(resume) as fresh:
                torch.save(state | {"identity": identity}, fresh)
            saved = now
    metadata = {"source": "formula"} | {name: str(identity[name]) for name in RECORDED}
    save_weights(out, teacher_weights(net), metadata)
    resume.unlink(missing_ok=True)
    return accuracy


def schedule(step: int, steps: int) -> float:
    """Factor of the learning rate: up over the first 5 % of the steps, then down on a cosine."""
    warm = max(1, round(0.05 * steps))
    return min((step + 1) / warm, 0.5 + 0.5 * math.cos(math.pi * step / steps))


def _step(
    net: Classifier,
    optimiser: torch.optim.Optimizer,
    photographs: Tensor,
    settings: PretrainSettings,
    seed: int,
    step: int,
    device: torch.device,
) -> tuple[float, float]:
    """Loss and accuracy of one step; its crops depend on seed and step alone, so a resumed run sees the same."""
    generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
    chosen = torch.randint(len(photographs), (settings.batch,), generator=generator)
    target = (chosen // settings.images_per_class).to(device)
    size = settings.first_size if step < 0.6 * settings.steps else settings.size
    x = augment(photographs[chosen], size, generator).to(device, memory_format=torch.channels_last)
    with autocast(device, "auto"):
        logits = net.logits(x)
    loss = F.cross_entropy(logits.float(), target, label_smoothing=settings.label_smoothing)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()
    return float(loss.detach()), float((logits.argmax(1) == target).float().mean())


def _photographs(settings: PretrainSettings, seed: int) -> Tensor:
    """uint8 [classes * images_per_class, 3, side, side], a sixth larger than the crops."""
    side, each = round(settings.size * 7 / 6), settings.images_per_class
    count, spoken = settings.classes * each, time.monotonic()

    def photograph(number: int) -> Image:
        nonlocal spoken
        if time.monotonic() - spoken > EVERY:
            spoken = time.monotonic()
            log.info("rendering photograph %d of %d", number, count)
        return render(number // each, number % each, size=side, seed=seed)

    return textures.stacked(photograph, count, side)


def _groups(net: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Parameters with decay (matrices, convolutions) and without (BatchNorm, biases)."""
    parameters = list(net.parameters())
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim == 1], "weight_decay": 0.0},
    ]


def _resume(
    path: Path, net: nn.Module, optimiser: torch.optim.Optimizer, identity: dict[str, object], device: torch.device
) -> int:
    """Load what an interrupted run with the same identity left at `path`; the step to go on with, 0 for a new run."""
    if not path.is_file():
        return 0
    state = torch.load(path, map_location=device, weights_only=True)
    if state["identity"] != identity:
        return 0
    net.load_state_dict(state["net"])
    optimiser.load_state_dict(state["optimiser"])
    log.info("going on from step %d of %s", state["step"], path)
    return int(state["step"])


def teacher_weights(net: Classifier) -> dict[str, Tensor]:
    """The teacher's part of `net`: convolutions fp16, BatchNorm fp32 (its statistics leave the range of fp16)."""
    return {
        name: (value.half() if value.ndim == 4 else value).cpu()
        for name, value in net.state_dict().items()
        if not name.startswith(("layer4.", "head."))
    }
