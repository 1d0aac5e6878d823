"""Masks of a video, frame by frame, as with OpenCV's subtractors: `python examples/own_video.py VIDEO [CHECKPOINT]`.

CHECKPOINT is one of `fit`, of any system, or an ONNX file of `export`; without it MOG2 is used.
"""

import sys

import cv2

import bgsub_lightning

if len(sys.argv) < 2:
    sys.exit(__doc__)
video, checkpoint = (*sys.argv[1:], "MOG2")[:2]
capture = cv2.VideoCapture(video)
if not capture.isOpened():
    sys.exit(f"{video}: cannot be opened as a video.")
subtractor = bgsub_lightning.load(checkpoint)
frames = 0
while True:
    is_read, frame = capture.read()
    if not is_read:
        break
    mask = subtractor.apply(frame)  # uint8, 255 is foreground
    frames += 1
    print(f"frame {frames}: {(mask == 255).mean():.1%} foreground")
