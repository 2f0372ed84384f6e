"""The parts that the pipeline's stages wrote, as one network."""

from destseg.dataset.layout import MEMORY, SEGMENTATION, STUDENT, TEACHER, build_dir
from destseg.model.memory import load_memory
from destseg.model.network import DeSTSeg
from destseg.model.segmentation import load_segmentation
from destseg.model.student import load_student
from destseg.model.teacher import load_teacher


def assemble(category: str) -> tuple[DeSTSeg, dict[str, str]]:
    """The network of build/<category>/, and its teacher's metadata."""
    build = build_dir(category)
    network = DeSTSeg(0, encoder_decoder=False)  # a light shell: each part says its own shape
    network.teacher, metadata = load_teacher(build / TEACHER)
    network.student = load_student(build / STUDENT)
    network.segmentation = load_segmentation(build / SEGMENTATION)
    network.memory = load_memory(build / MEMORY)
    return network, metadata
