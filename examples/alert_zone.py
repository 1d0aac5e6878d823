"""Run a command when somebody enters a zone: `python examples/alert_zone.py 0 10,60,99,60,99,200 notify-send`."""

import subprocess
import sys

import bgsub_lightning

if len(sys.argv) < 4:
    sys.exit(__doc__)
source, zone, *command = sys.argv[1:]
for result in bgsub_lightning.stream(source, zone=zone):
    for event in result.events:
        if event.event == "enter" and event.place == "zone 1":
            subprocess.run([*command, f"object {event.id} at {event.time:.1f} s"], check=False)
