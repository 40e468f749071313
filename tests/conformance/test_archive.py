import io
import zipfile

import numpy as np
import pytest

from assigncore.conformance.goldens.archive import (
    Compression,
    RawCase,
    pack_bytes,
    read_archive,
    write_archive,
)


def _cases():
    rng = np.random.default_rng(0)
    boxes = rng.random((5, 4), dtype=np.float32)
    return [
        RawCase(
            {"case": "one", "init": {"neg_iou_thr": {"__tuple__": [0.1, 0.4]}}},
            {"in_priors": boxes, "out_gt_inds": np.arange(5), "in_mask": np.array([True, False])},
        ),
        RawCase(
            {"case": "two"},
            {"in_priors": boxes.astype(np.float64), "in_again": boxes, "out_opt_cost": np.array(2.5)},
        ),
        RawCase({"case": "nothing"}, {"in_priors": np.zeros((0, 4), dtype=np.float32)}),
    ]


@pytest.mark.parametrize("compression", Compression)
def test_round_trip_keeps_order_meta_shapes_dtypes_and_bits(compression):
    cases = _cases()
    again = read_archive(io.BytesIO(pack_bytes(cases, compression)))
    assert [case.meta for case in again] == [case.meta for case in cases]
    for case, copy in zip(cases, again, strict=True):
        assert set(copy.arrays) == set(case.arrays)
        for name, array in case.arrays.items():
            assert copy.arrays[name].dtype == array.dtype
            assert copy.arrays[name].shape == array.shape
            assert copy.arrays[name].tobytes() == array.tobytes()


def test_arrays_are_read_only():
    for case in read_archive(io.BytesIO(pack_bytes(_cases()))):
        for array in case.arrays.values():
            assert not array.flags.writeable


def test_bytes_do_not_depend_on_the_order_of_arrays_or_on_memory_layout():
    first, second, third = _cases()
    shuffled = {name: np.asfortranarray(first.arrays[name]) for name in reversed(first.arrays)}
    assert pack_bytes([first, second, third]) == pack_bytes([RawCase(first.meta, shuffled), second, third])


def test_an_array_that_occurs_twice_is_stored_once():
    boxes = np.random.default_rng(1).random((1000, 4))
    once = RawCase({"case": "a"}, {"in_priors": boxes})
    twice = RawCase({"case": "b"}, {"in_priors": boxes})
    assert len(pack_bytes([once, twice])) < 1.1 * len(pack_bytes([once]))


def test_packing_refuses_what_would_need_pickling():
    case = RawCase({"case": "a"}, {"in_names": np.array(["a", "b"])})
    with pytest.raises(TypeError, match="in_names"):
        pack_bytes([case])


def test_a_file_of_the_same_content_is_left_alone_however_it_was_compressed(tmp_path):
    path = tmp_path / "Some.npz"
    assert write_archive(path, _cases())
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    stored = path.read_bytes()
    assert stored != pack_bytes(_cases())
    assert not write_archive(path, _cases())
    assert path.read_bytes() == stored


def test_a_file_of_other_content_is_written_anew(tmp_path):
    path = tmp_path / "Some.npz"
    for content in (b"", b"no archive", pack_bytes(_cases()[:1])):
        path.write_bytes(content)
        assert write_archive(path, _cases())
        assert path.read_bytes() == pack_bytes(_cases())


def test_reading_refuses_another_npz_and_another_version():
    plain = io.BytesIO()
    np.savez(plain, priors=np.zeros(3))
    with pytest.raises(ValueError, match=r"index\.json"):
        read_archive(io.BytesIO(plain.getvalue()))
    newer = io.BytesIO()
    with zipfile.ZipFile(newer, "w") as archive:
        archive.writestr("index.json", '{"format": 99, "cases": []}')
    with pytest.raises(ValueError, match="format 99"):
        read_archive(io.BytesIO(newer.getvalue()))
