"""Act one: three updates that a ROS 2 client asks for: confirmed, rolled back, refused."""

import hashlib

from stage import say


def play(stage):
    """Plays the act."""
    say("\nAct 1: a ROS 2 client asks")
    stage.operator()
    good(stage)
    bad(stage)
    tampered(stage)


def good(stage):
    """An update as it should be."""
    say("\n1. A good update: 0.2.0 → 0.2.1")
    end = stage.client.update(stage.publish(stage.image("0.2.1", "good")))
    stage.expect("the agent says", end.state, "observing")
    stage.boots("ota_0", "0.2.1")


def bad(stage):
    """A firmware that is no good."""
    say("\n2. A firmware that fails its self-test: 0.2.1 → 0.2.2")
    end = stage.client.update(stage.publish(stage.image("0.2.2", "fail_self_test")))
    stage.expect("the agent says", end.state, "rolled_back")
    say(f"      {end.message}")
    stage.client.spin_until(lambda: stage.client.status.running_version == "0.2.1", 20, "hearing 0.2.1 again")
    stage.expect("the robot runs", stage.client.status.running_version, "0.2.1")
    stage.expect("the chip boots", stage.slots()["next_boot"], "ota_0")


def tampered(stage):
    """A forged image."""
    say("\n3. A tampered image: one bit of 0.2.3 flipped on the server, its hash made to fit")
    genuine = stage.image("0.2.3", "good")
    (stage.folder / "forged").write_bytes(tamper((stage.folder / genuine).read_bytes()))
    before = stage.slots()
    end = stage.client.update(stage.smuggle(genuine, "forged"))
    stage.expect("the agent says", end.state, "failed")
    say(f"      {end.message}")
    stage.expect("the chip was touched", stage.slots() != before, False)
    stage.expect("the robot runs", stage.client.status.running_version, "0.2.1")


def tamper(signed):
    """One bit of the firmware flipped, and the header's hash made right again, as an attacker would."""
    header, payload = bytearray(signed[:136]), bytearray(signed[136:])
    payload[len(payload) // 2] ^= 0x10
    header[12:44] = hashlib.sha256(payload).digest()
    return bytes(header + payload)
