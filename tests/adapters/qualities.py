"""Random quality matrices, many of them with ties, and the published rules read entry by entry."""

import torch

EMPTY = {"no_ground_truth": (0, 5), "no_prediction": (3, 0), "neither": (0, 0)}


def matrices(seed, count=60):
    """Draw matrices (G, N): of floats, of few values that tie often, with rows of zeros."""
    generator = torch.Generator().manual_seed(seed)
    for i in range(count):
        n_gts, n_priors = (
            int(n) for n in torch.randint(1, 9, (2,), generator=generator) * torch.tensor([1, 5])
        )
        table = torch.rand((n_gts, n_priors), generator=generator)
        if i % 2:
            table = (table * 8).floor() / 8
        if i % 3 == 0:
            table[int(torch.randint(n_gts, (1,), generator=generator))] = 0
        yield table


def best_of_column(table, n):
    column = table[:, n].tolist()
    return column.index(max(column)), max(column)


def is_best_of_a_row(table, n):
    return any(row[n] == max(row) for row in table.tolist())


def intervals(table, thresholds, labels, low_quality):
    """Return each column's best row and the label of its value's interval."""
    rows, found = [], []
    for n in range(table.shape[1]):
        row, value = best_of_column(table, n)
        label = labels[sum(value >= threshold for threshold in thresholds)]
        rows.append(row)
        found.append(1 if low_quality and is_best_of_a_row(table, n) else label)
    return rows, found
