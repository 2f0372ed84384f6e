"""Copies of a photograph are found among products that look alike, and different parts are not taken for copies."""

import base64
import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from destseg.dataset.demo.render import render_image
from destseg.dataset.manifest import thumbnail
from destseg.validation.likeness import nearest
from destseg.validation.settings import ValidationSettings

LIMIT = ValidationSettings().near_duplicate
COUNT = 40


def encoded(image: Image.Image) -> str:
    return base64.b64encode(thumbnail(image.convert("L")).tobytes()).decode()


def jpeg(image: Image.Image) -> Image.Image:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=90)
    return Image.open(stream)


@pytest.fixture(scope="module", params=["washer", "fabric"])
def photographs(request: pytest.FixtureRequest) -> list[Image.Image]:
    rendered = (
        render_image(request.param, split="train", kind="good", index=index, size=128)[0] for index in range(COUNT)
    )
    return [Image.fromarray(image) for image in rendered]


def test_different_parts_are_no_near_duplicates(photographs: list[Image.Image]) -> None:
    assert nearest([encoded(image) for image in photographs], [0] * COUNT, LIMIT) == [{}] * COUNT


@pytest.mark.parametrize(
    "copy",
    [
        jpeg,
        lambda image: image.resize((96, 96), Image.Resampling.LANCZOS),
        lambda image: image.point(lambda value: value * 0.9),
    ],
    ids=["jpeg", "smaller", "darker"],
)
def test_each_copy_names_its_original(
    photographs: list[Image.Image], copy: Callable[[Image.Image], Image.Image]
) -> None:
    both = [*photographs, *(copy(image) for image in photographs)]
    found = nearest([encoded(image) for image in both], [0] * COUNT + [1] * COUNT, LIMIT)
    assert found == [{}] * COUNT + [{0: index} for index in range(COUNT)]


def test_more_images_than_are_compared_at_once_are_all_compared() -> None:
    chance = np.random.default_rng(0)
    noise = [Image.fromarray(chance.integers(0, 255, (64, 64), dtype=np.uint8)) for _ in range(1200)]
    found = nearest([encoded(image) for image in [*noise, noise[3], noise[1000]]], [0] * 1200 + [1, 1], LIMIT)
    assert found == [{}] * 1200 + [{0: 3}, {0: 1000}]


@pytest.mark.parametrize("count", [0, 1, 2])
def test_hardly_any_images_and_images_of_one_grey_are_no_trouble(count: int) -> None:
    blank = encoded(Image.new("L", (64, 64), 90))
    assert nearest([blank] * count, [0] * count, LIMIT) == [{}] * count
