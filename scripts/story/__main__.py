"""make demo: a simulated robot is updated, from the trigger to the end, in three acts.

Simulator, update server, broker and agent are processes of their own; the
operators are an rclpy client and MQTT clients. What counts is what lies in the
chip afterwards. In the third act there is a fleet in place of the robot.
"""

import os
import pathlib
import shutil
import sys
import tempfile
import time

import first
import second
import third
from processes import Failed
from stage import Stage, say


def main():
    """Plays the story; 0 only if every part ended as it should."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="robot-ota-demo-"))
    stage = Stage(folder)
    began = time.monotonic()
    try:
        say("A robot with a simulated ESP32-S3, an update server, a broker and the agent, all processes of their own.")
        stage.prepare()
        stage.start("30s")
        first.play(stage)
        middle = time.monotonic()
        second.play(stage)
        stage.table()
        last = time.monotonic()
        say("All five ended as they should.")
        third.play(stage)
    except (Failed, KeyboardInterrupt) as e:
        say(f"\nThe demo did not end well: {e or 'interrupted'}")
        for name, _, _ in stage.processes.running:
            say(f"\n--- {name}\n{stage.processes.tail(name)}")
        say(f"\nEverything that was written lies in {folder}.")
        return 1
    finally:
        stage.close()
    end = time.monotonic()
    say(
        "\nEverything ended as it should: "
        f"act 1 in {middle - began:.0f} s, act 2 in {last - middle:.0f} s, act 3 in {end - last:.0f} s."
    )
    if os.environ.get("KEEP"):
        say(f"What was written lies in {folder}.")
    else:
        shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
