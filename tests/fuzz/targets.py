"""What is attacked, once for the tests and for the campaign: each file that a stranger may write.

A target gives bytes a name in a folder, and reads them as the product would. Whatever the
bytes are, one of two things happens: they are read, or one of our errors says why not.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from seglib.data.convert import convert
from seglib.data.dataset import Item
from seglib.data.dicom_header import read_header
from seglib.data.fingerprint import digest_files, store_key
from seglib.data.grids import misfit
from seglib.data.index import build_index
from seglib.data.layouts import find_datasets
from seglib.data.picture import Picture, reorient
from seglib.data.readers import read_array, read_mask
from seglib.data.source import Plan
from seglib.data.spec import DataSpec, SplitSpec
from seglib.data.splits import Splits
from seglib.data.survey import survey_dataset
from seglib.errors import DataError, Problem, SegtuneError
from seglib.target import Target as Labels
from tests.fuzz import mutate, runs, seeds
from tune.study_file import load_study
from tune.suite import is_suite
from tune.yaml_lines import write_yaml

__all__ = ["TARGETS", "Target", "survive"]

MOST_VALUES = 2**18
"""In an image that is prepared in full; larger ones are only read, to attack more often."""

LONGEST_MESSAGE = 100_000


@dataclass(frozen=True)
class Target:
    """One kind of file.

    Args:
        file: What it is called in its folder.
        read: Reads it as the product does.
        seeds: Valid contents.
        mutate: How they are damaged.
        lay: Writes what lies beside it.
    """

    file: str
    read: Callable[[Path], object]
    seeds: Callable[[], tuple[bytes, ...]]
    mutate: mutate.Mutate = mutate.any_bytes
    lay: Callable[[Path], None] = lambda folder: None


def survive(target: Target, data: bytes, folder: Path) -> SegtuneError | None:
    """Read hostile bytes; any other exception than ours, and any warning, comes through.

    Args:
        target: What they pose as.
        data: The bytes.
        folder: In which ``target.lay`` was called.

    Returns:
        Our error, or None where the bytes were read.
    """
    path = folder / target.file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    known = set(folder.rglob("*"))
    fault = None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            target.read(path)
        except SegtuneError as error:
            fault = error
    assert set(folder.rglob("*")) == known, "something was written"
    if fault is not None:
        message = str(fault)
        message.encode()
        assert 0 < len(message) < LONGEST_MESSAGE
        assert all(letter.isprintable() or letter == "\n" for letter in message)
    return fault


def _read_image(path: Path) -> None:
    """As an image, as a mask, and as both, prepared in each way."""
    faults: list[Problem] = []
    for read in (read_array, read_mask):
        try:
            picture = read(path)
        except DataError as error:
            faults += error.problems
        else:
            _prepare(path, picture, mask=read is read_mask)
    if faults:
        raise DataError(str(path), faults)


def _prepare(path: Path, picture: Picture, *, mask: bool = False) -> None:
    assert picture.array.size > 0
    if picture.array.size > MOST_VALUES:
        return
    assert misfit(picture, picture) is None
    if picture.affine is not None and picture.volume:
        assert reorient(picture, picture.affine).array.shape == picture.array.shape
    grid = 3 if picture.volume else 2
    channels = picture.array.shape[grid] if picture.array.ndim > grid else 1
    labels = Labels(kind="binary", classes=("it",), values={0: 0, 1: 1}, members=((1,),))
    names = tuple(f"channel {number}" for number in range(channels))
    normalise = ("zscore", "percentile", "window")[picture.array.size % 3]
    plan = Plan(path.parent, names, labels, normalise, (-1000.0, 400.0), 16, True, 1)
    convert(Item("case", "patient", (path,), (path,) if mask else ()), plan, None)


def _read_dicom(path: Path) -> None:
    """Its header, as an image, as one slice of a stack, and as a folder of series."""
    faults: list[Problem] = []
    beside = path.parent / "beside.dcm"
    for read in (
        lambda: read_header(path),
        lambda: _prepare(path, read_array(path)),
        lambda: read_array((path, beside)),
        lambda: _read_folder(path, layout="dicom", target="binary"),
    ):
        try:
            read()
        except DataError as error:
            faults += error.problems
    if faults:
        raise DataError(str(path), faults)


def _read_pairs(path: Path) -> None:
    _read_folder(path, layout="pairs", target="binary")


def _read_folder(path: Path, layout: str = "nnunet", target: str = "organs") -> None:
    """As `segtune data` and a search read the folder that the file is in."""
    root = path.parent
    spec = DataSpec.model_validate({"layout": layout, "image_size": 16, "target": target})
    problems: list[Problem] = []
    for dataset in find_datasets(spec, root, problems):
        survey = survey_dataset(dataset, spec)
        problems += survey.problems
        digests = digest_files([f for i in dataset.items for f in i.files], None)
        store_key(dataset, spec, digests, phantom=False)
        if not survey.problems:
            survey.splits(SplitSpec(val=0.5, test=0.0))
            rows = [row for piece in survey.pieces for row in piece.rows]
            index = build_index(rows, dataset.target, survey.findings.joined)
            index.to_parquet(io.BytesIO())
        for note in survey.findings.notes:
            note.encode()
    if problems:
        raise DataError(str(root), problems)


def _read_study(path: Path) -> None:
    """Both forms of a study file; what is understood is written and read again alike."""
    if is_suite(path):
        return
    fault = None
    for demo in (False, True):
        try:
            study = load_study(path, demo=demo)
        except SegtuneError as error:
            fault = error
            continue
        write_yaml(study.resolved()).encode()
        assert "/" not in study.name
        assert study.name not in ("", ".", "..")
        assert len(study.name) <= 100
    if fault is not None:
        raise fault


def _lay_pairs(folder: Path) -> None:
    for name in ("a", "b", "c"):
        for part in ("Image", "Mask"):
            (folder / part).mkdir(exist_ok=True)
            number = (0 if part == "Image" else 1) + ord(name)
            values = (seeds.np.arange(seeds.SIZE**2) * number % 200).astype("uint8")
            values = values if part == "Image" else (values > 100).astype("uint8")
            (folder / part / f"{name}.png").write_bytes(seeds.png_of_pixels(values))


def _lay_challenge(folder: Path) -> None:
    _lay_pairs(folder)
    for part, name, ending in (("Image", "imagesTr", "_0000"), ("Mask", "labelsTr", "")):
        (folder / part).rename(folder / name)
        for path in list((folder / name).iterdir()):
            path.rename(path.with_name(f"{path.stem}{ending}.png"))
    (folder / "dataset.json").write_bytes(_DATASET)


def _lay_slice(folder: Path) -> None:
    (folder / "beside.dcm").write_bytes(
        seeds.dicom_slice(ImagePositionPatient=[-30.0, -40.0, 2.0], InstanceNumber=2)
    )


_MANIFEST = b"image,mask,patient,slice\na.png,a.png,P1,1\nb.png,b.png,P1,2\nc.png,c.png,P2,1\n"
_DATASET = (
    b'{"channel_names": {"0": "CT"}, "labels": {"background": 0, "lung": 1},'
    b' "numTraining": 3, "file_ending": ".png"}'
)
_FOLDS = b'[{"train": ["a", "b"], "val": ["c"]}, {"train": ["c"], "val": ["a"]}]'
_SPLITS = (
    b'{"train": ["a"], "val": ["b"], "test": ["c"], "folds": [["a"], ["b"]], "by": "patient",'
    b' "seed": 7, "warning": "", "fold_trains": [["b"], ["a"]]}'
)

TARGETS: dict[str, Target] = {
    "study": Target("study.yaml", _read_study, seeds.studies, mutate.text),
    "png": Target("a.png", _read_image, seeds.png, mutate.png_chunks),
    "tiff": Target("a.tif", _read_image, seeds.tiff),
    "jpeg": Target("a.jpg", _read_image, seeds.jpeg),
    "nifti": Target("a.nii", _read_image, seeds.nifti),
    "nifti-gz": Target("a.nii.gz", _read_image, seeds.nifti_gz, mutate.gzipped),
    "dicom": Target("a.dcm", _read_dicom, seeds.dicom, lay=_lay_slice),
    "manifest": Target("manifest.csv", _read_pairs, lambda: (_MANIFEST,), mutate.text, _lay_pairs),
    "dataset-json": Target(
        "dataset.json", _read_folder, lambda: (_DATASET,), mutate.text, _lay_challenge
    ),
    "folds": Target(
        "splits_final.json", _read_folder, lambda: (_FOLDS,), mutate.text, _lay_challenge
    ),
    "splits": Target("splits.json", Splits.load, lambda: (_SPLITS,), mutate.text),
    **{
        f"run-{Path(name).stem}": Target(
            name, runs.read_run(name.count("/")), runs.file_of_run(name), mutate.text, runs.lay_run
        )
        for name in (
            "study.yaml",
            "journal.log",
            "environment.json",
            "splits.json",
            "trials/0/final.csv",
            "trials/0/legacy.csv",
            "trials/0/notes.txt",
            "suite.csv",
        )
    },
}
