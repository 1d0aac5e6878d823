"""The boxes of what moves before a camera: `python examples/own_camera.py [CHECKPOINT] [CAMERA]`; Ctrl-C ends it."""

import sys

import bgsub_lightning
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.inference import boxes, open_source

checkpoint, camera = (*sys.argv[1:], *("MOG2", "0")[len(sys.argv) - 1 :])[:2]
try:
    subtractor = bgsub_lightning.load(
        checkpoint, refresh_interval=1500, blocking=False
    )  # a new background each 1,500, no gap
    for frame in open_source(camera):
        (mask,) = subtractor.push([frame.image])  # RGB
        for box in boxes(mask, least=200):
            print(f"{frame.time:8.2f} s  {box.width}×{box.height} at ({box.x}, {box.y})", flush=True)
except UserError as error:
    sys.exit(f"error: {error}")
except KeyboardInterrupt:
    pass
