from __future__ import annotations

from pathlib import Path

from tests.seglib.data.folders import (
    faults,
    find,
    pictures,
)


def with_manifest(root: Path, *lines: str, name: str = "manifest.csv") -> Path:
    pictures(root, *(f"Image/{stem}.png" for stem in "abc"))
    pictures(root, *(f"Mask/m{stem}.png" for stem in "abc"))
    (root / name).write_text("\n".join(lines) + "\n", encoding="utf-8-sig")
    return root


def test_a_manifest_gives_pairs_patients_and_slices(tmp_path: Path) -> None:
    with_manifest(
        tmp_path,
        "image,age,mask,patient,slice",
        "b.png,3,ma.png,P1,9",
        "Image/a.png,4,Mask/mb.png,P1,10",
    )
    dataset = find(tmp_path)
    assert [(i.group, i.slice, i.images[0].name, i.masks[0].name) for i in dataset.items] == [
        ("P1", 9, "b.png", "ma.png"),
        ("P1", 10, "a.png", "mb.png"),
    ]
    assert dataset.notes == ("1 images are not in manifest.csv and are left out",)


def test_a_pattern_in_the_study_file_goes_before_the_manifests_patient(tmp_path: Path) -> None:
    with_manifest(tmp_path, "image,mask,patient", "a.png,ma.png,P1", "b.png,mb.png,P1")
    assert [item.group for item in find(tmp_path, patient="^(.)").items] == ["a", "b"]


def test_a_manifest_may_have_another_name(tmp_path: Path) -> None:
    with_manifest(tmp_path, "image,mask,patient", "a.png,ma.png,P1", name="who.csv")
    assert [item.group for item in find(tmp_path, manifest="who.csv").items] == ["P1"]
    assert any("data.manifest: found no such file" in t for t in faults(tmp_path, manifest="x.csv"))


def test_all_faults_of_a_manifest_are_told_with_their_lines(tmp_path: Path) -> None:
    with_manifest(
        tmp_path,
        "image,mask,patient,slice",
        "a.png,ma.png,P1,1",
        "x.png,mb.png,P1,2",
        "b.png,y.png,,3",
        "c.png,ma.png,P2,up",
        "c.png",
        "a.png,mb.png,P3,1",
    )
    told = "\n".join(faults(tmp_path))
    for line in (
        "manifest.csv (line 3): found image x.png, which does not exist",
        "manifest.csv (line 4): found mask y.png, which does not exist",
        "manifest.csv (line 4) and 1 more: found no patient",
        "manifest.csv (line 5): found slice 'up' ; wanted a whole number",
        "manifest.csv (line 6): found no mask",
        "manifest.csv: found a.png 2 times ; wanted once",
    ):
        assert line in told


def test_a_manifest_of_a_larger_folder_is_one_fault(tmp_path: Path) -> None:
    lines = [f"x{number}.png,y{number}.png,P" for number in range(40)]
    with_manifest(tmp_path, "image,mask,patient", "a.png,ma.png,P", *lines)
    (told,) = faults(tmp_path)
    assert told.startswith(
        "manifest.csv: found 40 lines with files that do not exist "
        "(image x0.png, mask y0.png, image x1.png and 77 more)"
    )
    assert "remove their lines" in told


def test_a_manifest_without_its_columns_is_refused(tmp_path: Path) -> None:
    with_manifest(tmp_path, "image,label", "a.png,ma.png")
    (told,) = faults(tmp_path)
    assert told.startswith("manifest.csv: found no column mask, patient")


def test_a_file_that_is_no_manifest_is_passed_by_with_a_note(tmp_path: Path) -> None:
    pictures(tmp_path, "Image/a.png", "Mask/a.png")
    (tmp_path / "manifest.csv").write_text("file,sha256\nx,y\n")
    dataset = find(tmp_path)
    assert len(dataset.items) == 1
    assert "manifest.csv has none of the columns" in dataset.notes[0]


def test_a_manifest_that_swaps_masks_is_refused_in_one_line(tmp_path: Path) -> None:
    pictures(tmp_path, *(f"{part}/{stem}.png" for part in ("Image", "Mask") for stem in "abc"))
    lines = ["image,mask,patient", "a.png,b.png,P1", "b.png,a.png,P2", "c.png,c.png,P3"]
    (tmp_path / "manifest.csv").write_text("\n".join(lines))
    (told,) = faults(tmp_path)
    assert "manifest.csv: found 2 images with the mask of another, such as a.png with b.png" in told
