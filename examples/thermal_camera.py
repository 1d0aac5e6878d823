"""Moving objects of a thermal camera, from its raw values: `python examples/thermal_camera.py FOLDER 51000,52000`.

FOLDER holds images of 16 bits. The range is the grey levels that are shown as black and white; without it the first
frames decide.
"""

import sys

import bgsub_lightning

if len(sys.argv) < 2:
    sys.exit(__doc__)
levels = tuple(map(float, sys.argv[2].split(","))) if len(sys.argv) > 2 else None
for result in bgsub_lightning.stream(sys.argv[1], range=levels):
    for track in result.tracks:
        box = track.box
        warmth = result.frame[box.y : box.y + box.height, box.x : box.x + box.width].mean() / 255
        print(f"image {result.number}: object {track.id} at ({box.x}, {box.y}), warmth {warmth:.2f}", flush=True)
