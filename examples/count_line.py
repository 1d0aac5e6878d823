"""Count what crosses a line: `python examples/count_line.py street.mp4 30,150,260,150`.

"in" is to the right of the line, seen from its first point.
"""

import sys

import bgsub_lightning

if len(sys.argv) != 3:
    sys.exit(__doc__)
for result in bgsub_lightning.stream(sys.argv[1], count_line=sys.argv[2]):
    for event in result.events:
        if event.event == "cross":
            counts = result.activity.counts[event.place]
            print(
                f"{event.time:8.2f} s  object {event.id} {event.direction}: in {counts.into}, out {counts.out}",
                flush=True,
            )
