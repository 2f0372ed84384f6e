"""The report shows the worst images of both kinds first, then typical ones, and none twice."""

from pathlib import Path

import numpy as np
import pytest

from destseg.dataset.layout import Sample
from destseg.evaluation.gallery import SHOWN, WORST, file_names, groups
from destseg.evaluation.scored import Scored


def scored(kinds, scores):
    samples = [Sample(path=Path(f"{kind}/{i:03d}.png"), split="test", kind=kind) for i, kind in enumerate(kinds)]
    empty = np.zeros((len(kinds), 2, 2))
    return Scored(samples=samples, scores=np.array(scores, dtype=float), maps=empty, masks=empty.astype(bool))


def test_misses_rise_alarms_fall_and_no_image_comes_twice():
    rng = np.random.default_rng(0)
    found = scored(["good"] * 30 + ["crack"] * 20 + ["stain"] * 5, rng.random(55))
    missed, alarms, typical = (group.images for group in groups(found))
    assert missed == (30 + np.argsort(found.scores[30:]))[:WORST].tolist()
    assert alarms == np.argsort(-found.scores[:30])[:WORST].tolist()
    shown = missed + alarms + typical
    assert len(shown) == len(set(shown)) == SHOWN
    assert set(found.kinds[typical]) == {"good", "crack", "stain"}


@pytest.mark.parametrize(("kinds", "count"), [([], 0), (["good"] * 3, 1), (["crack"], 1), (["good", "crack"], 2)])
def test_small_test_sets_show_what_there_is(kinds, count):
    assert len(groups(scored(kinds, range(len(kinds))))) == count


def test_equal_names_of_different_files_stay_apart():
    found = scored(["crack", "crack"], [0, 1])
    paths = [Path("crack/1.png"), Path("crack/1.jpg")]
    samples = [Sample(path=path, split="test", kind="crack") for path in paths]
    twins = Scored(samples=samples, scores=found.scores, maps=found.maps, masks=found.masks)
    assert dict(file_names(twins, [0, 1])) == {0: "crack-1.png", 1: "crack-1-2.png"}
