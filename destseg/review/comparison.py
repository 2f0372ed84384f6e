"""A comparison from the registry: read as data, its shape checked, as anyone who may train could have made it."""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from destseg import Error
from destseg.model.named import NETWORK
from destseg.registry.comparison import CONTENT

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Text = Annotated[str, Field(max_length=2000)]
Texts = Annotated[list[Text], Field(max_length=20_000)]
Count = Annotated[int, Field(ge=0, le=10**9)]
Share = Annotated[float, Field(ge=0, le=1)]
Curve = Annotated[tuple[tuple[Share, Share], ...], Field(max_length=500)]
KINDS = Field(max_length=1000)  # as many defect types: each has a row at every operating point


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Kind(_Part):
    """A defect type in the acceptance set."""

    images: Count
    caught: Count | None


class FalseRejects(_Part):
    """Good images that a model rejects, with the 95 % interval of the rate."""

    count: Count
    images: Count
    rate: float
    low: float
    high: float


class Calibration(_Part):
    """Where a model's threshold comes from."""

    threshold: float
    target_rate: float
    provable_rate: float
    confidence: float
    images: Count


class Curves(_Part):
    """Points (x, y) of a model's curves; none in a comparison of before they were kept."""

    image_roc: Curve = ()
    pixel_precision_recall: Curve = ()


class Model(_Part):
    """One of the two models, evaluated anew."""

    address: Text
    version: int
    dataset_version: Text
    commit: Text
    network: Text = NETWORK
    teacher: dict[Text, Text] = Field(default_factory=dict)
    metrics: dict[Text, float | None]
    curves: Curves = Curves()
    kinds: Annotated[dict[Text, Kind], KINDS]
    false_rejects: FalseRejects | None
    calibration: Calibration | None
    latency_ms: float | None


class Difference(_Part):
    """Challenger minus champion in one metric, with the 95 % interval."""

    champion: float
    challenger: float
    low: float
    high: float


class Verdict(_Part):
    """What a model says of one image."""

    score: float
    rejected: bool | None
    place: float | None


class Image(_Part):
    """An image of the acceptance set; its place in the list names its folder in the gallery."""

    name: Text
    kind: Text
    challenger: Verdict
    champion: Verdict | None


class Point(_Part):
    """An operating point of the challenger."""

    rate: float
    provable_rate: float
    threshold: float
    false_rejects: Count
    escapes: Annotated[dict[Text, Count], KINDS]

    @property
    def missed(self) -> int:
        """Defect images that it would let pass."""
        return sum(self.escapes.values())


class Param(_Part):
    """A setting that differs."""

    name: Text
    champion: object = None
    challenger: object = None


class Added(_Part):
    """An added image that the gallery has a picture of."""

    name: Text
    sha256: Sha256


class Data(_Part):
    """How the dataset changed since the champion's."""

    added: Count = 0
    removed: Count = 0
    added_names: Texts = Field(default_factory=list)
    removed_names: Texts = Field(default_factory=list)
    sheet: Annotated[list[Added], Field(max_length=200)] = Field(default_factory=list)
    since: Text | None = Field(default=None, alias="from")


class Code(_Part):
    """How the code changed."""

    champion: Text | None = None
    challenger: Text | None = None
    commits: Texts = Field(default_factory=list)
    files: Texts = Field(default_factory=list)


class Changes(_Part):
    """What changed since the champion was trained."""

    unknown: dict[Text, Text] = Field(default_factory=dict)
    params: Annotated[list[Param], Field(max_length=2000)] = Field(default_factory=list)
    data: Data = Data()
    code: Code = Code()


class TrainedOn(_Part):
    """Images of the comparison that trained a model; None where nobody can tell."""

    challenger: Texts | None = None
    champion: Texts | None = None


class Comparison(_Part):
    """comparison.json."""

    category: Text
    dataset_version: Text
    commit: Text
    made: Text
    destseg: Text
    machine: Text
    synthetic: bool
    clean: bool
    pushed: bool
    trained_on: TrainedOn = TrainedOn()
    kinds: Annotated[dict[Text, Count], KINDS]
    challenger: Model
    champion: Model | None
    differences: dict[Text, Difference | None]
    verdict: Text
    better: Texts
    worse: Texts
    newly_missed: Texts
    newly_caught: Texts
    newly_rejected: Texts
    newly_accepted: Texts
    changes: Changes = Changes()
    images: Annotated[list[Image], Field(max_length=100_000)]
    operating_points: Annotated[list[Point], Field(max_length=1000)]
    current: int | None = None


def read(path: Path) -> Comparison:
    """The content of a comparison.json."""
    try:
        found = Comparison.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise Error(f"{CONTENT} is not what `destseg compare` writes ({_said(error)}); compare again") from None
    if found.current is not None and not 0 <= found.current < len(found.operating_points):
        raise Error(f"{CONTENT} names operating point {found.current} of {len(found.operating_points)}; compare again")
    return found


def _said(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"


def number_tags(text: str | None) -> dict[str, float]:
    """The numbers of a tag that holds them as JSON; none where it holds something else."""
    try:
        return dict(TypeAdapter(dict[str, float]).validate_json(text or "{}"))
    except ValidationError:
        return {}


def text_tags(text: str | None) -> dict[str, str]:
    """The same of texts."""
    try:
        return dict(TypeAdapter(dict[Text, Text]).validate_json(text or "{}"))
    except ValidationError:
        return {}
