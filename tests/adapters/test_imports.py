"""Adapters stand in for frameworks that need not be there."""

import subprocess
import sys

FRAMEWORKS = (
    "mmengine",
    "mmdet",
    "mmyolo",
    "ultralytics",
    "torchvision",
    "detectron2",
    "transformers",
    "scipy",
)
ADAPTERS = ("detectron2", "detr", "mmyolo", "torchvision", "transformers", "ultralytics")


def test_importing_adapters_imports_no_framework():
    code = (
        "import sys\n"
        f"from assigncore.adapters import {', '.join(ADAPTERS)}\n"
        f"print(*[name for name in {FRAMEWORKS!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
