"""Ten lines of OpenCV for masks and boxes of a video, against `segment` for the same outputs.

`benchmarks/segment.py` runs both in turn, each in its own process, and compares them:

    python benchmarks/ten_lines.py OpenCV street.mp4 boxes_csv,overlay
    python benchmarks/ten_lines.py MOG2 street.mp4 boxes_csv,overlay

Both write the same codecs: H.264 by PyAV, since OpenCV's packages write none, with the settings of `segment`; FFV1
by `cv2.VideoWriter` in the one and by `segment` in the other. `segment` does more: it closes masks, fills holes, and
follows the objects that it draws.
"""

from __future__ import annotations

import argparse
import csv
import json
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from bgsub_lightning.commands.segment import segment
from bgsub_lightning.core.console import console


class H264:
    """Takes pictures, BGR or grey, as cv2.VideoWriter does."""

    def __init__(self, file: Path, rate: float, size: tuple[int, int]) -> None:
        self.container = av.open(str(file), "w")
        options = {"crf": "18", "preset": "veryfast"}
        self.stream: Any = self.container.add_stream("libx264", round(rate), options=options)
        self.stream.width, self.stream.height = size

    def write(self, picture: np.ndarray) -> None:  # noqa: D102
        kind = "gray" if picture.ndim == 2 else "bgr24"
        self.container.mux(self.stream.encode(av.VideoFrame.from_ndarray(picture, format=kind)))

    def release(self) -> None:  # noqa: D102
        self.container.mux(self.stream.encode(None))
        self.container.close()


def by_opencv(video: str, folder: Path, write: str, codec: str, frames: int) -> None:
    """Write boxes, and masks or overlays as a video."""
    folder.mkdir()
    capture = cv2.VideoCapture(video)
    rate = capture.get(cv2.CAP_PROP_FPS)
    size = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
    subtractor, kernel = cv2.createBackgroundSubtractorMOG2(), np.ones((3, 3), np.uint8)
    with ExitStack() as closing:
        table = csv.writer(closing.enter_context((folder / "boxes.csv").open("w", newline="")))
        table.writerow(["frame", "time", "x", "y", "width", "height", "area"])
        writers: dict[str, Any] = {}
        for kind in set(write.split(",")) - {"boxes_csv"}:
            if codec == "h264":
                writers[kind] = H264(folder / f"{kind}.mp4", rate, size)
            else:
                fourcc, file = cv2.VideoWriter.fourcc(*"FFV1"), folder / f"{kind}.mkv"
                writers[kind] = cv2.VideoWriter(str(file), fourcc, rate, size, isColor=kind == "overlay")
            closing.callback(writers[kind].release)
        for number in range(frames):
            found, frame = capture.read()
            if not found:
                break
            _, mask = cv2.threshold(subtractor.apply(frame), 254, 255, cv2.THRESH_BINARY)  # without shadows
            mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, kernel)
            _, _, statistics, _ = cv2.connectedComponentsWithStats(mask)
            boxes = [row for row in statistics[1:].tolist() if row[cv2.CC_STAT_AREA] >= 50]
            table.writerows([number + 1, number / rate, *box] for box in boxes)
            if "mask_video" in writers:
                writers["mask_video"].write(mask)
            if "overlay" in writers:
                red = frame.copy()
                red[mask > 0] = 0, 0, 255
                overlay = cv2.addWeighted(frame, 0.6, red, 0.4, 0)
                for x, y, width, height, _ in boxes:
                    cv2.rectangle(overlay, (x, y), (x + width, y + height), (0, 255, 0))
                writers["overlay"].write(overlay)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("way", help="OpenCV, or the system of `segment`: MOG2, AnyScene")
    parser.add_argument("video")
    parser.add_argument("write", help="boxes_csv, and mask_video or overlay")
    parser.add_argument("--codec", choices=["h264", "ffv1"], default="h264")
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--work-size", type=int)
    parser.add_argument("--threads", type=int, help="of OpenCV and of PyTorch; default: as they are")
    options = parser.parse_args()
    if options.threads:
        cv2.setNumThreads(options.threads)
    if options.way == "AnyScene":
        import torch  # here, since it counts as memory

        torch.set_num_threads(options.threads or torch.get_num_threads())
    console.quiet = True

    def run(frames: int) -> None:
        with tempfile.TemporaryDirectory() as parent:
            folder, given = Path(parent) / "out", (options.video, options.write, options.codec)
            if options.way == "OpenCV":
                by_opencv(given[0], folder, *given[1:], frames)
            else:
                more = {"work_size": options.work_size, "frames": frames, "device": "cpu"}
                segment(given[0], folder, options.way, write=given[1], codec=given[2], **more)

    def peak() -> float:  # of this process alone: getrusage begins with what its parent had
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))

    run(max(1, options.frames // 10))  # imports what is imported at first use
    early, begin, spent = peak(), time.perf_counter(), time.process_time()
    run(options.frames)
    seconds, processors = time.perf_counter() - begin, time.process_time() - spent
    found = {"rate": options.frames / seconds, "per processor": options.frames / processors}
    print(json.dumps({**found, "MiB": peak(), "growth": peak() / early}))


if __name__ == "__main__":
    main()
