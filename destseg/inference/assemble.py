"""The three parts that the pipeline's stages wrote, as one network."""

from destseg import Error
from destseg.dataset.layout import SEGMENTATION, STUDENT, TEACHER, build_dir
from destseg.model.network import DeSTSeg
from destseg.model.weights import load_weights, read_metadata


def assemble(category: str) -> tuple[DeSTSeg, dict[str, str]]:
    """The network of build/teacher.safetensors and build/<category>/, and the teacher's metadata."""
    segmentation = build_dir(category) / SEGMENTATION
    width = read_metadata(segmentation).get("width", "")
    if not width.isdecimal():
        raise Error(f"{segmentation} does not say its width; run `destseg segmentation {category}` anew")
    network = DeSTSeg(int(width))
    teacher = load_weights(TEACHER, network.teacher)
    load_weights(build_dir(category) / STUDENT, network.student)
    load_weights(segmentation, network.segmentation)
    return network, teacher
