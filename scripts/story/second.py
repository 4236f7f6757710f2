"""Act two: the fleet commands over MQTT. An update waits for the battery; a firmware turns bad once confirmed."""

from stage import say

# Small images and a short trial, so that the act is short.
SIZE = "256K"
TRIAL = "5s"


def play(stage):
    """Plays the act."""
    say("\nAct 2: the fleet commands over MQTT")
    say(f"    the broker: {stage.fleet.broker()}")
    say(f"    the agent is started again, with a trial of {TRIAL} instead of 30s")
    stage.start_agent(TRIAL)
    stage.operator()
    deferred(stage)
    turns_bad(stage)


def command(stage, name, version, id):
    """Has the robot take an image; returns where the events of that begin."""
    fleet = stage.fleet
    fleet.listen()
    since = len(fleet.events)
    url = stage.publish(name)
    topic = fleet.command("ota", id=id, url=url, sha256=stage.digest(name), version=version)
    say(f'    {topic} ← {{"id": "{id}", "version": "{version}", "url": …, "sha256": …}}')
    return since


def deferred(stage):
    """A robot that may not be updated yet."""
    say("\n4. An update that waits for the battery: 0.2.1 → 0.2.4")
    fleet, client = stage.fleet, stage.client
    image = stage.image("0.2.4", "good", SIZE)
    url = stage.publish(image)
    stage.battery(40)
    client.spin_until(lambda: "battery_low" in stage.gates(url), 10, "hearing the battery")
    since = command(stage, image, "0.2.4", "demo-1")
    client.spin_until(lambda: fleet.status(state="waiting"), 20, "the deferral")
    say(f"    events       {fleet.path(since)}")
    for reason in fleet.status(state="waiting")["reasons"]:
        say(f"    by MQTT      ota/status: waiting, {reason['code']}: {reason['text']}")
    client.spin_until(lambda: client.status.state == "waiting" and client.status.reasons, 5, "the deferral in ROS")
    for reason in client.status.reasons:
        say(f"    by ROS       /ota/status: waiting, {reason.code}: {reason.text}")
    since = len(fleet.events)
    stage.battery(60)
    client.spin_until(lambda: fleet.event(since, to="observing"), 40, "the update")
    say(f"    events       {fleet.path(since)}")
    stage.boots("ota_1", "0.2.4")


def turns_bad(stage):
    """A firmware that passes its trial and then stops the robot."""
    say("\n5. A firmware that turns bad after it was confirmed: 0.2.4 → 0.2.5, which stops the robot by itself")
    fleet, client = stage.fleet, stage.client
    image = stage.image("0.2.5", "estop_after:6", SIZE)
    since = command(stage, image, "0.2.5", "demo-2")
    client.spin_until(lambda: fleet.event(since, to="observing"), 40, "the confirmation")
    say(f"    events       {fleet.path(since)}")
    since = len(fleet.events)
    client.spin_until(lambda: fleet.event(since, to="rolled_back"), 40, "the roll-back")
    say(f"    events       {fleet.path(since)}")
    event = fleet.event(since, to="rolled_back")
    say(f"    ota/event    {event['code']}: {event['text']}")
    for line in event["evidence"]:
        say(f"                 - {line}")
    stage.expect("the robot is put back because of", event["code"], "unexplained_estop")
    client.spin_until(lambda: running(fleet) == "0.2.4", 20, "hearing 0.2.4 again")
    stage.expect("the robot runs", running(fleet), "0.2.4")
    stage.expect("the chip boots", stage.slots()["next_boot"], "ota_1")
    since = command(stage, image, "0.2.5", "demo-3")
    client.spin_until(lambda: fleet.event(since, to="failed"), 20, "the refusal")
    event = fleet.event(since, to="failed")
    say(f"    ota/event    {event['code']}: {event['text']}")
    stage.expect("the version is tried again", event["code"] != "failed_before", False)


def running(fleet):
    """The version that the robot runs, as the last status says."""
    return fleet.status()["running"]["version"]
