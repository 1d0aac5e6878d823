"""Save a picture of what was left, or taken away: `python examples/abandoned_object.py station.mp4 [SECONDS]`."""

import sys

import cv2

import bgsub_lightning

if len(sys.argv) < 2:
    sys.exit(__doc__)
seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 10.0
for result in bgsub_lightning.stream(sys.argv[1], still=seconds):
    for event in result.events:
        if event.event in {"abandoned", "removed"}:
            box = next(track.box for track in result.tracks if track.id == event.id)
            picture = result.frame[box.y : box.y + box.height, box.x : box.x + box.width, ::-1]
            cv2.imwrite(f"{event.event}_{event.id}.png", picture)
            print(f"{event.time:8.2f} s  {event.event}: {box.width}×{box.height} at ({box.x}, {box.y})", flush=True)
