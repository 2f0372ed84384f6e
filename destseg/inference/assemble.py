"""The three parts that the pipeline's stages wrote, as one network."""

from destseg.dataset.layout import SEGMENTATION, STUDENT, TEACHER, build_dir
from destseg.model.network import DeSTSeg
from destseg.model.segmentation import load_segmentation
from destseg.model.student import load_student
from destseg.model.teacher import load_teacher


def assemble(category: str) -> tuple[DeSTSeg, dict[str, str]]:
    """The network of build/teacher.safetensors and build/<category>/, and the teacher's metadata."""
    network = DeSTSeg(0, encoder_decoder=False)  # a light shell: each part says its own shape
    network.teacher, metadata = load_teacher(TEACHER)
    network.student = load_student(build_dir(category) / STUDENT)
    network.segmentation = load_segmentation(build_dir(category) / SEGMENTATION)
    return network, metadata
