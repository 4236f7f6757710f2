"""Act 3: a good release and a bad one, rolled out to a fleet."""

import os
import subprocess

from processes import Failed
from stage import say

ROBOTS = 40


def play(stage):
    """Has the fleet's side do what it does for many robots, over two weeks in half a minute."""
    say(f"\nAct 3: a fleet of {ROBOTS} simulated robots, over two weeks")
    say("    the robots' state machines, gates and triggers are the agent's, and the server is the real one;")
    say("    bodies, chips and time are made up. Where so few robots tell nothing, a simulated operator decides.\n")
    command = ["bin/ota-fleet", "simulate", "--robots", str(ROBOTS), "--dashboard", "localhost:0"]
    if os.environ.get("KEEP"):
        command.append("--keep")
    log = stage.folder / "fleet.log"
    with log.open("wb") as errors, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as fleet:
        try:
            for line in fleet.stdout:
                say("    " + line.rstrip())
        except KeyboardInterrupt:  # it has heard the same one
            if not os.environ.get("KEEP"):
                raise
            fleet.wait()
    if fleet.returncode != 0:
        raise Failed(f"the fleet did not end as it should; {log} may say why")
