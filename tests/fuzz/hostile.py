"""Attacks that chance would not find: bombs, giants, lies. Each is a few kB, made in code."""

from __future__ import annotations

import gzip
import io
import struct
import zlib
from collections.abc import Callable, Mapping

import nibabel
import numpy as np
import pydicom

from tests.fuzz import seeds
from tests.fuzz.mutate import png_chunk

__all__ = ["HOSTILE"]

HUGE = 2**31 - 1


def _study(text: str) -> bytes:
    return f"method: random\nparameters: {{epochs: {{value: 3}}}}\n{text}".encode()


def _laughs() -> bytes:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    return "\n".join(lines).encode()


def _merges() -> bytes:
    """Mappings that take over mappings, each twice the one before."""
    lines = ["a0: &a0 {x: 1}"]
    lines += [f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}], k{n}: 1}}" for n in range(1, 40)]
    return "\n".join(lines).encode()


def _study_files() -> dict[str, bytes]:
    return {
        "alias bomb": _laughs(),
        "merge bomb": _merges(),
        "alias inside itself": b"a: &a [*a]",
        "deep lists": b"[" * 400,
        "deep mappings": b"{a: " * 400,
        "deep blocks": b"\n".join(b" " * n + b"a:" for n in range(600)),
        "number of 5000 digits": _study("seed: " + "9" * 5000),
        "number of 90 digits": _study("run_cap: " + "9" * 90),
        "not a number": _study("metric: {target: .nan}\nbudget: {hours: .inf}"),
        "object": _study("seed: !!python/object/apply:os.system [id]"),
        "key twice": _study("seed: 1\nseed: 2"),
        "not UTF-8": _study("name: ") + b"\xff\xfe\x80",
        "NUL": _study("name: a\x00b"),
        "half a character": _study('description: "\\ud800"'),
        "half a character in a key": _study('"\\udfff": 1'),
        "long key over many values": _study(f"? {'k' * 90_000}\n: [{'1, ' * 9_000}]"),
        "long line": _study("description: " + "x" * 100_000),
        "many unknown keys": _study("\n".join(f"epoch{n}x: 1" for n in range(9_000))),
        "many keys in quotes": b"\n".join(b"'%d': 1" % n for n in range(20_000)),
        "many question marks": b"? " * 50_000,
        "10 MB": b"a: 1\n" * 2_000_000,
        "parent folder": _study("name: ../../escaped"),
        "absolute path": _study("name: /tmp/escaped"),
        "dash in front": _study("name: -rf"),
        "dots": _study("name: ..."),
        "new line": _study('name: "a\\nb"'),
        "direction of writing": _study('name: "a\\u202eb"'),
        "letters that look alike": _study("name: \uff0e\uff0e\uff0fetc"),
        "long name": _study("name: " + "n" * 300),
        "control letters": _study('"\\e[2J": 1\nname: "\\e[31m"'),
    }


def _png(width: int, height: int, *chunks: tuple[bytes, bytes], bits: int = 8) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    parts = ((b"IHDR", head), *chunks, (b"IDAT", zlib.compress(b"\0" * 10_000)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(map(png_chunk, parts))


def _pngs() -> dict[str, bytes]:
    bomb, megabyte = zlib.compress(bytes(50_000_000), 9), zlib.compress(bytes(900_000))
    return {
        "largest size": _png(HUGE, HUGE),
        "just under Pillow's limit": _png(13_000, 13_000),
        "one line of 100000": _png(100_000, 1),
        "no width": _png(0, 16),
        "text bomb": _png(16, 16, (b"zTXt", b"a\0\0" + bomb)),
        "many text bombs": _png(16, 16, *[(b"zTXt", b"a\0\0" + megabyte)] * 99),
        "international text bomb": _png(16, 16, (b"iTXt", b"a\0\1\0\0\0" + bomb)),
        "colour profile bomb": _png(16, 16, (b"iCCP", b"a\0\0" + bomb)),
        "chunk of 2 GB": b"\x89PNG\r\n\x1a\n" + struct.pack(">I", HUGE) + b"IHDR" + b"\0" * 99,
        "animation of 2 billion": _png(16, 16, (b"acTL", struct.pack(">II", HUGE, 0))),
        "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        "empty": b"",
    }  # fmt: skip


def _tiff(*tags: tuple[int, int, int, int], following: int = 0) -> bytes:
    """Little-endian, one page, a strip of 64 zeros at its end."""
    entries = b"".join(struct.pack("<HHII", *tag) for tag in sorted(tags))
    page = struct.pack("<H", len(tags)) + entries + struct.pack("<I", following)
    return b"II*\0" + struct.pack("<I", 8) + page + bytes(64)


def _tiffs() -> dict[str, bytes]:
    def page(width: int, height: int, **options: int) -> bytes:
        tags = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, 1)]
        tags += [(262, 3, 1, 1), (273, 4, 1, 150), (278, 4, 1, height), (279, 4, 1, 64)]
        return _tiff(*tags, **options)

    return {
        "largest size": page(2**32 - 1, 2**32 - 1),
        "just under Pillow's limit": page(13_000, 13_000),
        "pages in a circle": page(8, 8, following=8),
        "strips without end": _tiff((256, 4, 1, 8), (257, 4, 1, 8), (273, 4, HUGE, 8)),
        "tag of 16 GB": _tiff((256, 4, 1, 8), (257, 4, 1, 8), (700, 12, HUGE, 8)),
        "no pages": b"II*\0" + struct.pack("<I", 0),
    }


def _nifti(*, dtype: type = np.int16, **fields: object) -> bytes:
    header = nibabel.Nifti1Header()
    header.set_data_dtype(dtype)
    header.set_data_shape((8, 8, 4))
    header.set_sform(np.eye(4), 1)
    header["magic"], header["vox_offset"] = b"n+1", 352
    for name, value in fields.items():
        header[name] = value
    rng = np.random.default_rng(0)
    return header.binaryblock + bytes(4) + rng.integers(0, 9, 256).astype(dtype).tobytes()


def _extended() -> bytes:
    """An extension of 2 GB in front of the voxels."""
    whole = _nifti(vox_offset=2**31)
    return whole[:348] + b"\1\0\0\0" + struct.pack("<ii", HUGE - 15, 0) + whole[352:]


def _niftis() -> dict[str, bytes]:
    nan, inf = float("nan"), float("inf")
    slanted = {"srow_x": [1, 1, 0, 0], "srow_y": [1, 1, 0, 0], "srow_z": [0, 0, 1, 0]}
    return {
        "seven dimensions of 32767": _nifti(dim=[7] + [32767] * 7),
        "512 cubed in 10 bytes": _nifti(dim=[3, 512, 512, 512, 1, 1, 1, 1])[:362],
        "no extent": _nifti(dim=[3, 8, 0, 4, 1, 1, 1, 1]),
        "extent below zero": _nifti(dim=[3, -8, -8, 4, 1, 1, 1, 1]),
        "no dimension": _nifti(dim=[0] * 8),
        "bits that are not the type's": _nifti(bitpix=64),
        "unknown type": _nifti(datatype=77),
        "complex": _nifti(datatype=32, bitpix=64, dim=[3, 2, 2, 2, 1, 1, 1, 1]),
        "slope NaN": _nifti(scl_slope=nan, scl_inter=nan),
        "slope infinite": _nifti(scl_slope=inf, scl_inter=0),
        "slope zero": _nifti(scl_slope=0, scl_inter=inf),
        "slope too large": _nifti(scl_slope=3e38, scl_inter=3e38),
        "affine NaN": _nifti(srow_x=[nan] * 4),
        "affine infinite": _nifti(srow_x=[inf, 0, 0, 0]),
        "affine zero": _nifti(srow_x=[0] * 4, srow_y=[0] * 4, srow_z=[0] * 4),
        "affine flat": _nifti(**slanted),
        "voxel size zero": _nifti(pixdim=[1, 0, 1, 1, 0, 0, 0, 0]),
        "voxel size below zero": _nifti(pixdim=[1, -1, 1, 1, 0, 0, 0, 0]),
        "voxel size NaN": _nifti(pixdim=[1, nan, 1, 1, 0, 0, 0, 0]),
        "voxels far off": _nifti(vox_offset=1e18),
        "voxels at NaN": _nifti(vox_offset=nan),
        "voxels below zero": _nifti(vox_offset=-1e6),
        "extension of 2 GB": _extended(),
        "floats NaN": _nifti(dtype=np.float32)[:352] + np.full(256, nan, np.float32).tobytes(),
        "floats too large": _nifti(dtype=np.float64)[:352] + np.full(256, 1.7e308).tobytes(),
        "head only": _nifti()[:348],
    }


def _packed() -> dict[str, bytes]:
    zeros = gzip.compress(bytes(2**23), 9)
    bomb = gzip.compress(_nifti(dim=[3, 1024, 1024, 1024, 1, 1, 1, 1]) + bytes(2**23), 9)
    return {name: gzip.compress(data) for name, data in _niftis().items()} | {
        "bomb": bomb,
        "bomb of extensions": gzip.compress(_extended() + bytes(2**23), 9),
        "many members": gzip.compress(b"") * 5000,
        "nothing but zeros": zeros,
        "endless name": b"\x1f\x8b\x08\x08" + bytes(6) + b"x" * 100_000,
        "not gzip": _nifti(),
    }


def _dicoms() -> dict[str, bytes]:
    slice_ = seeds.dicom_slice
    whole = slice_()
    start = whole.index(b"\x28\x00\x10\x00US")  # Rows
    nested = pydicom.Dataset()
    for _ in range(150):
        outer = pydicom.Dataset()
        outer.ReferencedStudySequence = [nested]
        nested = outer
    return {
        "65535 squared": slice_(Rows=65535, Columns=65535),
        "a billion frames": slice_(NumberOfFrames=10**9),
        "frames below zero": slice_(NumberOfFrames=-5),
        "no rows": slice_(Rows=0),
        "bits that are not there": slice_(BitsAllocated=32, BitsStored=32, HighBit=31),
        "odd bits": slice_(BitsAllocated=16, BitsStored=77, HighBit=76),
        "one bit": slice_(BitsAllocated=1, BitsStored=1, HighBit=0),
        "slope too large": slice_(RescaleSlope="1e308", RescaleIntercept="1e308"),
        "intercept too large": slice_(RescaleIntercept="1e30"),
        "position too far": slice_(ImagePositionPatient=["1e300", "1e300", "1e300"]),
        "number too large": slice_(InstanceNumber=2**31 - 1),
        "patient of a path": slice_(PatientID="../../escaped"),
        "patient of a formula": slice_(PatientID="=cmd|' /C calc'!A0"),
        "patient of control letters": slice_(PatientID="\x1b[2J<script>"),
        "length of 4 GB": whole[: start + 4] + b"OB\0\0\xfe\xff\xff\xff" + whole[start + 10 :],
        "unknown representation": whole[: start + 4] + b"??" + whole[start + 6 :],
        "another representation": whole[: start + 4] + b"SQ" + whole[start + 6 :],
        "sequences in sequences": slice_(ReferencedStudySequence=[nested]),
        "another syntax": whole.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.2\0"),
        "no syntax": whole.replace(b"1.2.840.10008.1.2.1\0", b"9.9.999.99999.9.9.9\0"),
        "empty": b"",
    }


def _jsons(valid: bytes) -> dict[str, bytes]:
    return {
        "deep": b"[" * 100_000,
        "deep objects": b'{"a":' * 100_000,
        "number of 5000 digits": valid.replace(b"1", b"9" * 5000),
        "number as text of 5000 digits": valid.replace(b"1", b'"' + b"9" * 5000 + b'"'),
        "not a number": valid.replace(b"1", b"NaN"),
        "half a character": valid.replace(b'"a"', b'"\\ud800"').replace(b"CT", b"\\ud800"),
        "not UTF-8": valid.replace(b"a", b"\xff"),
        "NUL": valid.replace(b"a", b"\\u0000"),
        "null": b"null",
        "empty": b"",
    }


def _manifests() -> dict[str, bytes]:
    head = b"image,mask,patient,slice\n"
    return {
        "paths out of the folder": head + b"../../etc/passwd,/etc/passwd,P1,1\n",
        "long names": head + b"x" * 5000 + b",a.png,P1,1\n",
        "NUL": head + b"a\0.png,a.png,P1,1\n",
        "slice of 5000 digits": head + b"a.png,a.png,P1," + b"9" * 5000 + b"\n",
        "slice in other digits": head + "a.png,a.png,P1,²\n".encode(),
        "patient of 5000 digits": head + b"a.png,a.png," + b"9" * 5000 + b",1\n",
        "patient of other digits": head + "a.png,a.png,²,1\nb.png,b.png,x²,1\n".encode(),
        "patient of a formula": head + b"a.png,a.png,=1+1,1\nb.png,b.png,@x,1\n",
        "long field": head + b'"' + b"x" * 200_000 + b'",a.png,P1,1\n',
        "open quote": head + b'"a.png,a.png,P1,1\n' * 1000,
        "columns twice": b"image,image,mask,patient\na.png,b.png,a.png,P1\n",
        "many commas": head + b"," * 100_000,
    }


def _splits() -> dict[str, bytes]:
    head = b'{"train": ["a"], "val": ["b"], "test": [], "folds": [["a"], ["b"]], "by": "patient",'
    return {
        "fewer parts than folds": head + b' "seed": 7, "fold_trains": [["b"]]}',
        "deep": b"[" * 100_000,
        "number of 5000 digits": head + b' "seed": ' + b"9" * 5000 + b"}",
        "empty": b"",
    }


HOSTILE: Mapping[str, Callable[[], dict[str, bytes]]] = {
    "study": _study_files,
    "png": _pngs,
    "tiff": _tiffs,
    "jpeg": lambda: {"cut": seeds.jpeg()[0][:200], "largest size": _largest_jpeg()},
    "nifti": _niftis,
    "nifti-gz": _packed,
    "dicom": _dicoms,
    "manifest": _manifests,
    "dataset-json": lambda: _jsons(b'{"channel_names": {"0": "CT"}, "labels": {"a": 1}}'),
    "folds": lambda: _jsons(b'[{"train": ["a", 1], "val": ["c"]}]'),
    "splits": _splits,
}
"""Target -> what is wrong -> the bytes."""


def _largest_jpeg() -> bytes:
    content = io.BytesIO(seeds.jpeg()[0]).getvalue()
    start = content.index(b"\xff\xc0") + 5
    return content[:start] + b"\xff\xff\xff\xff" + content[start + 4 :]
