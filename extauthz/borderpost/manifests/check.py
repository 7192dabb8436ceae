"""Files in, findings out: everything that `policy check` looks at, in one pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from borderpost.manifests.cluster import Cluster
from borderpost.manifests.labels import PREFIX_DEFAULT, LabelReader, Words
from borderpost.manifests.law import PlaceLaw
from borderpost.manifests.locations import Geography, Location
from borderpost.manifests.mesh import mesh_questions
from borderpost.manifests.objects import Inventory, objects_in
from borderpost.manifests.plans import is_plan
from borderpost.manifests.questions import Question
from borderpost.manifests.reading import files_in, read_documents
from borderpost.manifests.terraform import plan_questions
from borderpost.manifests.tree import Document
from borderpost.manifests.workloads import workload_questions
from borderpost.policy.bundle import PolicyBundle
from borderpost.policy.check import Vocabulary
from borderpost.policy.events import EventList
from borderpost.policy.schema import RegionSpec, TreatAs
from borderpost.reports.finding import Finding, Level
from borderpost_base.errors import BorderpostError, Place


@dataclass(frozen=True, slots=True)
class Asked:
    """What is checked, and by which law."""

    bundle: PolicyBundle
    regions: dict[str, RegionSpec]
    events: EventList
    at_us: int
    source_of: Callable[[str], str | None]
    """Where the reason of a refusal is written."""
    cluster: str | None = None
    """Where the cluster stands for objects that do not say it: a region or a code."""
    subjects: tuple[str, ...] = ()
    """Whose data it is where no label says so: codes and groups."""
    namespace: str = "default"
    """The namespace of objects that name none."""
    prefix: str = PREFIX_DEFAULT
    """What the keys of labels begin with."""
    require_labels: bool = False
    unknown_level: Level = Level.ERROR
    """The level of findings about places that cannot be told."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of it."""

    findings: list[Finding]
    """By file, line and rule."""
    errors: list[BorderpostError]
    """Files that could not be read."""
    files: int
    judged: int
    """How many places of labelled things were asked about."""


def check_files(paths: Iterable[Path], asked: Asked) -> Checked:
    """Check files and folders. Raises BorderpostError BP1234 or BP1235 for an option that names nothing known."""
    words = _words(asked)
    geography = Geography(asked.regions, words.groups)
    cluster_place = _cluster_place(asked, geography)
    documents: list[Document] = []
    errors: list[BorderpostError] = []
    files = 0
    for path in files_in(paths):
        files += 1
        try:
            documents += read_documents(path)
        except BorderpostError as error:
            errors.append(error)
    reader = LabelReader(words, geography, asked.prefix)
    found: list[Question | Finding] = []
    for plan in filter(is_plan, documents):
        try:
            found += plan_questions(plan, reader, geography, require_labels=asked.require_labels)
        except BorderpostError as error:
            errors.append(error)
    manifests = [document for document in documents if not is_plan(document)]
    cluster = Cluster(Inventory(objects_in(manifests, asked.namespace)), reader, geography, cluster_place)
    found += workload_questions(cluster, require_labels=asked.require_labels)
    found += mesh_questions(cluster)
    questions = [item for item in found if isinstance(item, Question)]
    law = PlaceLaw(asked.bundle, asked.regions, asked.events, asked.at_us, asked.source_of, asked.unknown_level)
    findings = [item for item in found if isinstance(item, Finding)]
    findings += law.findings(questions)
    return Checked(_sorted(findings), errors, files, len(questions))


def _sorted(findings: Iterable[Finding]) -> list[Finding]:
    """Return each finding once, by place."""

    def key(finding: Finding) -> tuple[str, int, int, str, str]:
        return finding.file or "", finding.line or 0, finding.column or 0, finding.rule.id, finding.message

    return sorted(dict.fromkeys(findings), key=key)


def _words(asked: Asked) -> Words:
    """Return the names that labels may use. Raises BorderpostError BP1234 for a subject that is none."""
    known: Vocabulary = asked.bundle.vocabulary
    unknown = asked.bundle.evidence.unknown
    treated = unknown.treat_as if isinstance(unknown, TreatAs) else ()
    words = Words(
        classes=frozenset(known.classes),
        groups=frozenset(known.groups),
        tenants=asked.bundle.tenants,
        default_classes=asked.bundle.evidence.default_classes,
        subjects=asked.subjects or treated,
    )
    reader = LabelReader(words, Geography(asked.regions))
    for subject in asked.subjects:
        if not reader.knows_subject(subject):
            raise BorderpostError("BP1234", f"`{subject}` is neither a code nor a group", place=Place("--subjects"))
    return words


def _cluster_place(asked: Asked, geography: Geography) -> Location | None:
    if asked.cluster is None:
        return None
    location = geography.place(asked.cluster)
    if location is None:
        detail = f"`{asked.cluster}` is no region and no place's code"
        raise BorderpostError("BP1235", detail, place=Place("--cluster"))
    return location
