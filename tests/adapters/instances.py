"""Instances as MMDetection hands them over: a look-alike, and those of MMEngine itself."""

import torch
from mmengine.structures import InstanceData


class Instances:
    """The least that an assigner may ask of instances: attributes and a length."""

    def __init__(self, **fields):
        self.__dict__.update(fields)

    def __len__(self):
        return len(next(iter(vars(self).values())))


class Boxes:
    """Boxes that hold their tensor, as HorizontalBoxes do."""

    def __init__(self, tensor):
        self.tensor = tensor

    def __len__(self):
        return len(self.tensor)


def real_instances(**fields):
    return InstanceData(**fields)


CONTAINERS = {"look-alike": Instances, "mmengine": real_instances}


def boxes(*rows):
    return torch.tensor(rows, dtype=torch.float32).reshape(-1, 4)


def plain_values(x):
    """Tensors as lists, so that results can be compared by ``==``."""
    return x.tolist() if isinstance(x, torch.Tensor) else x
