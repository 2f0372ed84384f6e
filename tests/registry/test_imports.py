from pathlib import Path

from destseg.registry import imports


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_the_closure_follows_every_way_to_import(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            "destseg/__init__.py": "",
            "destseg/a/__init__.py": "from .one import ONE",
            "destseg/a/one.py": "import json, numpy.linalg\nONE = 1",
            "destseg/a/two.py": "from destseg.b import three\nfrom . import four",
            "destseg/a/four.py": "def late():\n    import onnxruntime\n    from destseg.b.five import x",
            "destseg/b/__init__.py": "",
            "destseg/b/three.py": "class A:\n    import torch",
            "destseg/b/five.py": "x = 1",
            "destseg/b/unused.py": "",
        },
    )
    found = imports.closure("destseg.a.two", root=root)
    assert found.files == (
        "destseg/__init__.py",
        "destseg/a/__init__.py",
        "destseg/a/four.py",
        "destseg/a/one.py",
        "destseg/a/two.py",
        "destseg/b/__init__.py",
        "destseg/b/five.py",
        "destseg/b/three.py",
    )
    assert found.libraries == ("numpy", "torch")


def test_scoring_needs_only_the_rooms_for_a_bare_machine() -> None:
    found = imports.closure("destseg.inference.predictor")
    rooms = {name.split("/")[1] for name in found.files}
    assert rooms <= {"__init__.py", "ahead.py", "files.py", "settings.py", "model", "dataset", "inference"}
    assert set(found.libraries) <= {"torch", "torchvision", "numpy", "scipy", "PIL", "safetensors", "yaml"}


def test_requirements_pin_what_is_installed() -> None:
    found = imports.requirements(("PIL", "mlflow", "torch"))
    assert [line.partition("==")[0] for line in found] == ["mlflow", "pillow", "torch"]
    assert all("+" not in line for line in found)
