"""Scene-wise folds."""

from __future__ import annotations

from collections.abc import Mapping

from bgsub_lightning.datasets.cdnet2014 import published_videos


def published_folds(k: int) -> dict[str, int]:
    """Return the committed list of ``k`` folds of CDnet2014, ``category/video`` → 1..k; empty if there is none.

    That of three is this project's (BMN-BSN's is not published), made by :func:`balanced_folds`; that of four is
    BSUV-Net 2.0's, which the field uses.
    """
    column = f"fold_of_{k}"
    return {f"{row['category']}/{row['video']}": int(row[column]) for row in published_videos() if row.get(column)}


def balanced_folds(labelled: Mapping[str, int], k: int) -> dict[str, int]:
    """Deal videos to folds that are balanced by category and by labelled frames.

    Categories come by labelled frames, descending, and so do the videos of each; each goes to the fold with the fewest
    videos of its category, ties to the fold with the fewest frames. So every category's videos are spread as evenly as
    they can be, and the result does not depend on the order of the input.

    Args:
        labelled: ``category/video`` → number of labelled frames.
        k: Number of folds.

    Returns:
        ``category/video`` → fold, 1..k.

    Example:
        >>> balanced_folds({"a/x": 10, "a/y": 5, "b/z": 7}, 2)
        {'a/x': 1, 'a/y': 2, 'b/z': 2}
    """
    categories: dict[str, dict[str, int]] = {}
    for key, count in labelled.items():
        categories.setdefault(key.split("/")[0], {})[key] = count
    frames = [0] * k
    folds: dict[str, int] = {}
    for _, videos in sorted(categories.items(), key=lambda item: (-sum(item[1].values()), item[0])):
        dealt = [0] * k
        for key, count in sorted(videos.items(), key=lambda item: (-item[1], item[0])):
            fold = min(range(k), key=lambda i: (dealt[i], frames[i], i))
            folds[key] = fold + 1
            dealt[fold] += 1
            frames[fold] += count
    return folds


def scene_folds(labelled: Mapping[str, int], k: int) -> dict[str, int]:
    """Return the fold of each video.

    It is that of the committed list, so that a partial copy of CDnet2014 has the folds of a whole one. Videos that no
    list knows (one's own, or synthetic ones) are dealt among themselves by :func:`balanced_folds`.

    Args:
        labelled: ``category/video`` → number of labelled frames.
        k: Number of folds.
    """
    listed = published_folds(k)
    others = {key: count for key, count in labelled.items() if key not in listed}
    return {key: listed[key] for key in labelled if key in listed} | balanced_folds(others, k)
