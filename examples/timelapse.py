"""A picture of everything that has passed: `python examples/timelapse.py street.mp4 everything.png`.

Each object is copied, once every two seconds, onto the first frame.
"""

import sys

import cv2

import bgsub_lightning

if len(sys.argv) != 3:
    sys.exit(__doc__)
picture, last = None, -2.0
for result in bgsub_lightning.stream(sys.argv[1]):
    if picture is None:
        picture = result.frame.copy()
    if result.time - last >= 2:
        picture[result.mask > 0] = result.frame[result.mask > 0]
        last = result.time
cv2.imwrite(sys.argv[2], picture[..., ::-1])
