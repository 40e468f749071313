"""The answers of every assigner to fixed scenes are those that are recorded."""

import json
from dataclasses import replace
from pathlib import Path

from assigncore.conformance.capabilities import CAPABILITIES
from assigncore.conformance.scenes.digest import digest, digests
from assigncore.conformance.scenes.kinds import draw_scene
from assigncore.conformance.scenes.recipes import recipe_of

FILE = Path(__file__).parents[1] / "data" / "digest.json"
RENEW = "python -m assigncore.conformance.scenes.digest > tests/data/digest.json"


def test_answers_are_those_recorded():
    recorded, found = json.loads(FILE.read_text(encoding="utf-8")), digests()
    assert set(recorded) == set(found) == set(CAPABILITIES)
    changed = [
        f"{name} {scene}"
        for name, own in found.items()
        for scene in own
        if own[scene] != recorded[name][scene]
    ]
    assert not changed, (
        f"answers have changed; if that is meant, say it in CHANGELOG.md and run {RENEW}: {changed}"
    )
    assert recorded == found


def test_a_changed_answer_has_another_digest():
    recipe, scene = recipe_of("MaxIoUAssigner"), draw_scene("fpn-2026-0")
    other = replace(recipe, assigner=replace(recipe.assigner, neg_iou_thr=0.2))
    assert digest(recipe, scene) == digest(recipe, scene) != digest(other, scene)
