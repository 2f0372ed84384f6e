"""The rendered demo products: reproducible photographs, exact masks, and folders that are whole or absent."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from destseg import Error
from destseg.dataset.demo import CATEGORIES, DEFECTS, render_batch, render_dataset, render_image
from destseg.dataset.demo.render import exposures
from destseg.dataset.images import ImageError, decode, load_mask
from destseg.dataset.layout import samples

KINDS = [(category, kind) for category in CATEGORIES for kind in DEFECTS[category]]
UNUSABLE = {"truncated.png", "not_an_image.png", "duplicate.png", "lens_cap.png", "transparent.png"}


def folder_bytes(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*.png")}


@pytest.mark.parametrize("category", CATEGORIES)
def test_the_same_name_and_seed_give_the_same_photograph(category: str) -> None:
    first, mask = render_image(category, seed=3, split="train", kind="good", index=5, size=64)
    again, _ = render_image(category, seed=3, split="train", kind="good", index=5, size=64)
    assert first.shape == (64, 64, 3)
    assert first.dtype == np.uint8
    assert not mask.any()
    np.testing.assert_array_equal(first, again)
    for other in ({"seed": 4}, {"split": "test"}, {"index": 6}):
        wanted = {"seed": 3, "split": "train", "index": 5} | other
        assert (render_image(category, kind="good", size=64, **wanted)[0] != first).mean() > 0.3


@pytest.mark.parametrize("category", CATEGORIES)
def test_each_category_has_at_least_four_kinds_of_defect(category: str) -> None:
    assert len(DEFECTS[category]) >= 4


@pytest.mark.parametrize(("category", "kind"), KINDS)
def test_a_defect_changes_every_part_of_its_mask_and_nothing_else(category: str, kind: str) -> None:
    for index in range(3):
        image, mask = render_image(category, split="test", kind=kind, index=index, size=64)
        camera, clean, _ = exposures(category, split="test", kind=kind, index=index, size=64)
        twin = camera.develop(clean)
        assert 3 <= mask.sum() < 0.25 * mask.size
        np.testing.assert_array_equal(image[~mask], twin[~mask])
        assert (image[mask] != twin[mask]).any(axis=1).mean() > 0.6


@pytest.mark.parametrize("category", CATEGORIES)
def test_a_dataset_has_mvtec_layout_and_a_mask_for_every_defect(category: str, tmp_path: Path) -> None:
    count = render_dataset(tmp_path / "new", category, normals=3, test_normals=2, defects_per_kind=1, size=64)
    train, test = samples(tmp_path / "new", "train"), samples(tmp_path / "new", "test")
    assert count == len(train) + len(test) == 3 + 2 + len(DEFECTS[category])
    assert [sample.name for sample in train] == [f"train/good/{index:03}.png" for index in range(3)]
    assert {sample.kind for sample in test} == {"good", *DEFECTS[category]}
    for sample in test:
        assert decode(sample.path).size == (64, 64)
        if sample.mask is not None:
            assert set(np.unique(np.asarray(Image.open(sample.mask)))) == {0, 255}
            assert load_mask(sample.mask, 64).any()
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_more_images_change_none_that_were_there(tmp_path: Path) -> None:
    render_dataset(tmp_path / "few", "fabric", normals=1, test_normals=1, defects_per_kind=1, size=64)
    render_dataset(tmp_path / "many", "fabric", normals=3, test_normals=2, defects_per_kind=2, size=64)
    few, many = folder_bytes(tmp_path / "few"), folder_bytes(tmp_path / "many")
    assert few.items() < many.items()


def test_a_folder_with_content_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(Error, match="not empty"):
        render_dataset(tmp_path, "washer", size=64)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_dataset_that_cannot_be_finished_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(Error, match="16 pixels"):
        render_dataset(tmp_path / "new", "washer", normals=1, size=16)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("category", CATEGORIES)
def test_a_batch_holds_new_photographs_and_what_no_one_can_use(category: str, tmp_path: Path) -> None:
    paths = render_batch(tmp_path / "batch", category, count=3, size=64)
    assert sorted(paths) == sorted((tmp_path / "batch").iterdir())
    good, rest = paths[:3], {path.name: path for path in paths[3:]}
    assert set(rest) == UNUSABLE
    contents = {path.read_bytes() for path in good}
    assert len(contents) == 3
    assert rest["duplicate.png"].read_bytes() == good[0].read_bytes()
    assert np.asarray(decode(rest["lens_cap.png"])).max() == 0
    for path in good:
        assert decode(path).size == (64, 64)
    for name in ("truncated.png", "not_an_image.png", "transparent.png"):
        with pytest.raises(ImageError):
            decode(rest[name])


def test_an_unknown_category_or_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Error, match="washer, fabric"):
        render_dataset(tmp_path / "new", "bolt")
    with pytest.raises(Error, match="broken_thread"):
        render_image("fabric", split="test", kind="chip", index=0, size=64)
