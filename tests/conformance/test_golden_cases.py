import json

import numpy as np
import pytest

from assigncore.conformance import load_folder, load_packed, variants
from assigncore.conformance.goldens import pack
from assigncore.conformance.goldens.cases import read_folder, variants_of_folder


def _save(folder, name, **changes):
    meta = {
        "assigner": "MaxIoUAssigner",
        "impl": "mmdet-3.3.0",
        "case": name,
        "seed": 1,
        "dtype": "float32",
        "init": {
            "pos_iou_thr": 0.5,
            "neg_iou_thr": {"__tuple__": [0.1, 0.4]},
            "inner": [{"__tuple__": [1, 2]}],
        },
        "call": {"shape": {"__tuple__": [3, 4]}},
        "raises": None,
        "none_outputs": ["labels"],
        "stable_diff": 2,
        "f64_diff": 3,
    }
    arrays = {
        "in_priors": np.zeros((2, 4), dtype=np.float32),
        "out_gt_inds": np.array([1, 0]),
        "out_max_overlaps": np.zeros(2, dtype=np.float32),
        "stable_gt_inds": np.array([0, 1]),
    }
    extra = changes.pop("arrays", {})
    folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(folder / f"{name}.npz", meta=json.dumps(meta | changes), **arrays | extra)


def test_a_case_is_interpreted(tmp_path):
    _save(tmp_path / "MaxIoUAssigner", "plain")
    (case,) = load_folder(tmp_path, "MaxIoUAssigner")
    assert str(case) == "MaxIoUAssigner/plain"
    assert case.source == "mmdet-3.3.0"
    assert case.init["neg_iou_thr"] == (0.1, 0.4)
    assert case.init["inner"] == [(1, 2)]
    assert case.call["shape"] == (3, 4)
    assert case.none_outputs == ("labels",)
    assert (case.tied_entries, case.f64_diff, case.raises, case.opt_cost, case.cost) == (
        2,
        3,
        None,
        None,
        None,
    )
    assert set(case.inputs) == {"priors"}


def test_the_stable_output_is_expected_where_there_is_one(tmp_path):
    _save(tmp_path / "MaxIoUAssigner", "tied")
    (case,) = load_folder(tmp_path, "MaxIoUAssigner")
    assert case.expected["gt_inds"].tolist() == [0, 1]
    assert case.expected["max_overlaps"].tolist() == [0, 0]


def test_a_matchings_cost_is_not_an_output(tmp_path):
    arrays = {"out_cost": np.ones((2, 1), dtype=np.float32), "out_opt_cost": np.array(1.0)}
    _save(tmp_path / "HungarianAssigner", "match", arrays=arrays, opt_cost=1.0)
    (case,) = load_folder(tmp_path, "HungarianAssigner")
    assert set(case.expected) == {"gt_inds", "max_overlaps"}
    assert case.opt_cost == 1.0
    assert case.cost.shape == (2, 1)


def test_arrays_and_knobs_cannot_be_changed(tmp_path):
    _save(tmp_path / "MaxIoUAssigner", "plain")
    for case in (*load_folder(tmp_path, "MaxIoUAssigner"), load_packed("MaxIoUAssigner")[0]):
        with pytest.raises(ValueError, match="read-only"):
            case.inputs["priors"][...] = 1
        with pytest.raises(TypeError):
            case.init["pos_iou_thr"] = 0.9


def test_unknown_variants_are_refused_by_name(tmp_path):
    with pytest.raises(ValueError, match=r"'MaxIou'.*MaxIoUAssigner"):
        load_packed("MaxIou")
    with pytest.raises(FileNotFoundError, match="MaxIou"):
        load_folder(tmp_path, "MaxIou")


def test_a_file_that_is_no_golden_case_is_named(tmp_path):
    np.savez(tmp_path / "other.npz", priors=np.zeros(3))
    with pytest.raises(ValueError, match=r"other\.npz"):
        read_folder(tmp_path)


def test_a_description_that_lacks_something_is_refused(tmp_path):
    (tmp_path / "MaxIoUAssigner").mkdir()
    np.savez(tmp_path / "MaxIoUAssigner" / "odd.npz", meta=json.dumps({"case": "odd"}), in_priors=np.zeros(3))
    with pytest.raises(ValueError, match=r"'odd'.*assigner, impl"):
        load_folder(tmp_path, "MaxIoUAssigner")


def test_every_case_that_comes_with_the_package_is_sound():
    assert len(variants()) == 33
    cases = [case for variant in variants() for case in load_packed(variant)]
    assert len(cases) == 610
    assert len({str(case) for case in cases}) == 610
    for case in cases:
        assert bool(case.expected) is (case.raises is None)
        assert case.inputs
    float_cases = [case for case in cases if any(a.dtype.kind == "f" for a in case.inputs.values())]
    for case in float_cases:
        dtypes = {array.dtype.name for array in case.inputs.values() if array.dtype.kind == "f"}
        assert case.dtype in dtypes


def test_packing_twice_gives_the_same_bytes_and_leaves_large_cases_out(tmp_path):
    source, first, second = tmp_path / "source", tmp_path / "first", tmp_path / "second"
    _save(source / "MaxIoUAssigner", "b")
    _save(source / "MaxIoUAssigner", "a")
    noise = np.random.default_rng(0).random((1000, 4))
    _save(source / "GridAssigner", "large", arrays={"in_priors": noise})
    for into in (first, second):
        into.mkdir()
        assert pack.pack_folders([source], into) == {"GridAssigner": 0, "MaxIoUAssigner": 2}
    for path in first.iterdir():
        assert path.read_bytes() == (second / path.name).read_bytes()


def test_all_cases_of_several_folders_are_packed_in_archives_of_a_bounded_size(tmp_path, monkeypatch):
    _save(tmp_path / "one" / "MaxIoUAssigner", "b")
    _save(tmp_path / "other" / "MaxIoUAssigner", "a")
    noise = np.random.default_rng(0).random((3, 1000, 4))
    for name, boxes in zip("xyz", noise, strict=True):
        _save(tmp_path / "other" / "GridAssigner", name, assigner="GridAssigner", arrays={"in_priors": boxes})
    into = tmp_path / "into"
    into.mkdir()
    monkeypatch.setattr(pack, "MAX_ARCHIVE_BYTES", 64 * 1024)
    given = [str(tmp_path / "one"), str(tmp_path / "other"), "--whole", "--into", str(into)]
    assert pack.main(given) == 0
    assert sorted(path.name for path in into.iterdir()) == [
        "GridAssigner.1.npz", "GridAssigner.2.npz", "MaxIoUAssigner.npz",
    ]  # fmt: skip
    assert max(path.stat().st_size for path in into.iterdir()) <= 64 * 1024
    assert variants_of_folder(into) == ("GridAssigner", "MaxIoUAssigner")
    assert [case.name for case in load_folder(into, "MaxIoUAssigner")] == ["a", "b"]
    for case, boxes in zip(load_folder(into, "GridAssigner"), noise, strict=True):
        assert case.inputs["priors"].tobytes() == boxes.tobytes()


def test_packing_whole_does_not_go_into_the_package_by_itself(tmp_path, capsys):
    with pytest.raises(SystemExit):
        pack.main([str(tmp_path), "--whole"])
    assert "--into" in capsys.readouterr().err


def test_an_archive_that_is_none_is_named(tmp_path):
    for content in (b"", b"no archive"):
        (tmp_path / "MaxIoUAssigner.npz").write_bytes(content)
        with pytest.raises(ValueError, match=r"MaxIoUAssigner\.npz is not an archive of golden cases"):
            load_folder(tmp_path, "MaxIoUAssigner")


def test_the_packer_says_what_it_packed_or_in_one_line_why_not(tmp_path, capsys):
    _save(tmp_path / "source" / "MaxIoUAssigner", "a")
    assert pack.main([str(tmp_path / "source"), "--into", str(tmp_path)]) == 0
    assert "MaxIoUAssigner" in capsys.readouterr().out
    for folder in (tmp_path / "absent", tmp_path / "source" / "MaxIoUAssigner"):
        assert pack.main([str(folder), "--into", str(tmp_path)]) == 2
        streams = capsys.readouterr()
        assert streams.out == ""
        assert streams.err.count("\n") == 1
        assert str(folder) in streams.err
