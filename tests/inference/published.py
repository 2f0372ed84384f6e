"""The published layout and forward pass, written out from the facts without any module of destseg."""

import torch
from torch import Tensor
from torch.nn import functional as F

State = dict[str, Tensor]
HEAD = "segmentation_net.head"


def conv_shapes(name: str, outputs: int, inputs: int, kernel: int, norm: str) -> dict[str, tuple[int, ...]]:
    statistics = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.weight": (outputs, inputs, kernel, kernel), **{f"{norm}.{s}": (outputs,) for s in statistics}}


def layer_shapes(name: str, inputs: int, outputs: int, stride: int = 1) -> dict[str, tuple[int, ...]]:
    shapes = {}
    for block, first in enumerate((inputs, outputs)):
        shapes |= conv_shapes(f"{name}.{block}.conv1", outputs, first, 3, f"{name}.{block}.bn1")
        shapes |= conv_shapes(f"{name}.{block}.conv2", outputs, outputs, 3, f"{name}.{block}.bn2")
    if stride != 1 or inputs != outputs:
        shapes |= conv_shapes(f"{name}.0.downsample.0", outputs, inputs, 1, f"{name}.0.downsample.1")
    return shapes


def published_shapes() -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for net, depth in (("teacher_net", 3), ("student_net", 4)):
        shapes |= conv_shapes(f"{net}.encoder.conv1", 64, 3, 7, f"{net}.encoder.bn1")
        for stage, (inputs, outputs) in enumerate(((64, 64), (64, 128), (128, 256), (256, 512))[:depth], start=1):
            shapes |= layer_shapes(f"{net}.encoder.layer{stage}", inputs, outputs, 1 if stage == 1 else 2)
    for stage, (inputs, outputs) in ((4, (512, 512)), (3, (512, 256)), (2, (256, 128)), (1, (128, 64))):
        shapes |= layer_shapes(f"student_net.decoder_layer{stage}", inputs, outputs)
    shapes |= layer_shapes("segmentation_net.res", 448, 256)
    for branch in range(3):
        shapes |= conv_shapes(f"{HEAD}.0.convs.{branch}.0", 256, 256, 3, f"{HEAD}.0.convs.{branch}.1")
    shapes |= conv_shapes(f"{HEAD}.0.convs.3.1", 256, 256, 1, f"{HEAD}.0.convs.3.2")
    shapes |= conv_shapes(f"{HEAD}.0.project.0", 256, 1024, 3, f"{HEAD}.0.project.1")
    shapes |= conv_shapes(f"{HEAD}.1", 256, 256, 3, f"{HEAD}.2")
    return shapes | {f"{HEAD}.4.weight": (1, 256, 1, 1), f"{HEAD}.4.bias": (1,)}


def random_state(seed: int = 0, *, counters: bool = True) -> State:
    """Weights with BatchNorm statistics that are not the initial ones; `counters` as torch's BatchNorm saves them."""
    generator = torch.Generator().manual_seed(seed)
    state: State = {}
    for name, shape in published_shapes().items():
        noise = torch.randn(shape, generator=generator)
        if len(shape) == 4:
            state[name] = noise * (2 / (shape[1] * shape[2] ** 2)) ** 0.5
        elif name.endswith("running_var") or (name.endswith("weight")):
            state[name] = noise.abs() * 0.5 + 0.5
        else:
            state[name] = noise * 0.1
        if counters and name.endswith("running_var"):
            state[name.removesuffix("running_var") + "num_batches_tracked"] = torch.tensor(7)
    return state


# The published forward pass, in plain functions of the state dict.


def conv_norm(
    state: State, conv: str, norm: str, x: Tensor, stride: int = 1, padding: int = 0, rate: int = 1
) -> Tensor:
    x = F.conv2d(x, state[f"{conv}.weight"], None, stride, padding, rate)
    mean, var, weight, bias = (state[f"{norm}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
    scale = weight / (var + 1e-5).sqrt()
    return x * scale.view(-1, 1, 1) + (bias - mean * scale).view(-1, 1, 1)


def layer(state: State, name: str, x: Tensor, stride: int = 1) -> Tensor:
    for block, step in ((f"{name}.0", stride), (f"{name}.1", 1)):
        shortcut = x
        if f"{block}.downsample.0.weight" in state:
            shortcut = conv_norm(state, f"{block}.downsample.0", f"{block}.downsample.1", x, step)
        x = conv_norm(state, f"{block}.conv1", f"{block}.bn1", x, step, 1).relu()
        x = (conv_norm(state, f"{block}.conv2", f"{block}.bn2", x, 1, 1) + shortcut).relu()
    return x


def encoder(state: State, name: str, x: Tensor, depth: int) -> list[Tensor]:
    x = F.max_pool2d(conv_norm(state, f"{name}.conv1", f"{name}.bn1", x, 2, 3).relu(), 3, 2, 1)
    maps = []
    for stage in range(1, depth + 1):
        x = layer(state, f"{name}.layer{stage}", x, 1 if stage == 1 else 2)
        maps.append(x)
    return maps


def resized(x: Tensor, size: int) -> Tensor:
    return F.interpolate(x, size=(size, size), mode="bilinear", align_corners=False)


def published_forward(state: State, images: Tensor) -> tuple[Tensor, Tensor]:
    """Scores [B] and maps [B, S, S] of uint8 images [B, 3, S, S]."""
    mean, deviation = (torch.tensor(v).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    x = (images / 255 - mean) / deviation
    teacher = encoder(state, "teacher_net.encoder", x, 3)
    decoded, student = layer(state, "student_net.decoder_layer4", encoder(state, "student_net.encoder", x, 4)[3]), []
    for stage in (3, 2, 1):
        decoded = layer(state, f"student_net.decoder_layer{stage}", resized(decoded, 2 * decoded.shape[-1]))
        student.insert(0, decoded)
    products = [
        -(t / t.norm(dim=1, keepdim=True)) * (s / s.norm(dim=1, keepdim=True))
        for t, s in zip(teacher, student, strict=True)
    ]
    x = torch.cat([resized(product, images.shape[-1] // 4) for product in products], dim=1)
    x = layer(state, "segmentation_net.res", x)
    branches = [
        conv_norm(state, f"{HEAD}.0.convs.{b}.0", f"{HEAD}.0.convs.{b}.1", x, padding=rate, rate=rate).relu()
        for b, rate in enumerate((6, 12, 18))
    ]
    pooled = conv_norm(state, f"{HEAD}.0.convs.3.1", f"{HEAD}.0.convs.3.2", x.mean((2, 3), keepdim=True)).relu()
    x = torch.cat([*branches, pooled.expand_as(x)], dim=1)
    x = conv_norm(state, f"{HEAD}.0.project.0", f"{HEAD}.0.project.1", x, padding=1).relu()
    x = conv_norm(state, f"{HEAD}.1", f"{HEAD}.2", x, padding=1).relu()
    logits = F.conv2d(x, state[f"{HEAD}.4.weight"], state[f"{HEAD}.4.bias"])
    maps = resized(torch.sigmoid(logits), images.shape[-1])[:, 0]
    highest = maps.flatten(1).sort(dim=1, descending=True).values[:, : round(maps[0].numel() * 100 / 256**2)]
    return highest.mean(dim=1), maps
