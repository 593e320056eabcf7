from __future__ import annotations

from seglib.data.faults import and_more, gathered
from seglib.errors import Problem


def greys(number: int, found: str) -> Problem:
    return Problem(f"Mask/x{number}.png", f"grey values {found}", "only 0, 255", "a hint")


def test_same_fault_in_many_files_is_one_line_with_the_first() -> None:
    lines = gathered([greys(number, "3") for number in range(4)])
    assert lines == [
        Problem("Mask/x0.png and 3 more", "grey values 3", "only 0, 255", "a hint"),
    ]


def test_short_names_do_not_tell_the_same_fault_apart() -> None:
    (line,) = gathered([Problem(f"Mask/{stem}.png", "grey values 3", "only 0") for stem in "dey"])
    assert line.place == "Mask/d.png and 2 more"


def test_order_is_that_of_first_appearance() -> None:
    other = Problem("Image/x9.png", "no mask")
    lines = gathered([greys(0, "3"), other, greys(1, "3")])
    assert [line.place for line in lines] == ["Mask/x0.png and 1 more", "Image/x9.png"]


def test_few_variants_are_told_apart_and_many_are_not() -> None:
    founds = ["3", "3, 7", "9"]
    lines = gathered([greys(number, found) for number, found in enumerate(founds)])
    assert [line.found for line in lines] == [f"grey values {found}" for found in founds]
    (line,) = gathered([greys(number, str(number)) for number in range(10)])
    assert line.place == "Mask/x0.png and 9 more"
    assert line.found == "grey values 0 and the like"


def test_names_of_files_do_not_tell_faults_apart() -> None:
    faults = [
        Problem(f"Image/{stem}.png", "an image without a mask", f"{stem} in Mask")
        for stem in ("ab", "cd", "ef", "gh")
    ]
    (line,) = gathered(faults)
    assert line.place == "Image/ab.png and 3 more"


def test_long_lists_are_cut_and_the_rest_is_counted() -> None:
    words = [chr(ord("a") + number) * 3 for number in range(25)]
    lines = gathered([Problem("place", f"fault {word}") for word in words])
    assert lines[-1] == Problem("and more", "5 further problems")
    assert len(lines) == 21


def test_one_place_stands_alone() -> None:
    assert and_more("a", 1) == "a"
    assert and_more("a", 12) == "a and 11 more"
