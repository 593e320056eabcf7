from __future__ import annotations

from seglib.data.convert import Row
from seglib.data.index import build_index
from tests.contracts import TARGETS


def test_regions_count_all_their_labels_and_joined_patients_share_a_name() -> None:
    rows = [Row(f"case{g}", g, 3, (2.0, 1.0, 0.5), 90, (50, 1, 2, 0, 4)) for g in "ab"]
    index = build_index(rows, TARGETS["regions"], {"b": "a"})
    assert index["group"].tolist() == ["a", "a"]
    assert index["case"].tolist() == ["casea", "caseb"]
    assert index.iloc[0].drop(["case", "group"]).to_dict() == {
        "slice": 3,
        "spacing_z_mm": 2.0,
        "spacing_y_mm": 1.0,
        "spacing_x_mm": 0.5,
        "body_px": 90,
        "px_WT": 7,
        "px_TC": 5,
        "px_ET": 4,
    }
