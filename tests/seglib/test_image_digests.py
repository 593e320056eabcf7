from __future__ import annotations

from seglib.data.store import Store
from seglib.image_digests import digest_cases, digest_image


def test_one_slice_of_each_case_is_known_again(store: Store) -> None:
    groups = sorted(store.index["group"].unique())[:3]
    known = digest_cases(store, groups, store.info.channels)
    assert len(known) == store.index.loc[store.index["group"].isin(groups), "case"].nunique()
    for group, part in store.index.groupby("group"):
        met = {digest_image(store.images[row]) for row in part.index} & set(known)
        assert len(met) == (group in groups)


def test_only_channels_that_are_looked_at_count(store: Store) -> None:
    groups = sorted(store.index["group"].unique())[:2]
    seen = store.info.channels[1::2]
    known = digest_cases(store, groups, seen)
    rows = store.index.index[store.index["group"].isin(groups)]
    met = {digest_image(store.images[row][..., 1::2]) for row in rows} & set(known)
    assert met == set(known)
    assert not set(known) & set(digest_cases(store, groups, store.info.channels))


def test_another_shape_is_another_image(store: Store) -> None:
    image = store.images[0]
    assert digest_image(image) != digest_image(image.reshape(-1, 16, image.shape[2]))
    assert digest_image(image.copy(order="F")) == digest_image(image)
