"""List the images of a wildlife camera on which something is: `python examples/wildlife_camera.py FOLDER`.

The images are numbered by their names. A hundredth of the picture is enough.
"""

import sys

import bgsub_lightning

if len(sys.argv) != 2:
    sys.exit(__doc__)
for result in bgsub_lightning.stream(sys.argv[1], least_area=200, tracks=False, watch=False):
    share = (result.mask > 0).mean()
    if 0.01 < share < 0.7:  # more is a change of light, or a camera that was moved
        print(f"image {result.number}: {share:.1%}, {len(result.boxes)} at {result.boxes[0]}", flush=True)
