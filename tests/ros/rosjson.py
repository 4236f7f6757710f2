"""ROS messages as plain Python values, so that a test can write them as JSON."""

import base64
import importlib
import math

from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy


def load(kind):
    """Return the class of a type such as robot_interfaces/srv/OtaTrigger."""
    package, group, name = kind.split("/")
    return getattr(importlib.import_module(f"{package}.{group}"), name)


def fill(message, values):
    """Set the fields of a message from a dict, deep."""
    for name, value in values.items():
        if isinstance(value, dict):
            fill(getattr(message, name), value)
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            kind = message.get_fields_and_field_types()[name].removeprefix("sequence<").split(">", maxsplit=1)[0]
            element = load(kind.split(",", maxsplit=1)[0].replace("/", "/msg/", 1))
            setattr(message, name, [fill(element(), v) for v in value])
        elif message.get_fields_and_field_types()[name] == "octet":
            setattr(message, name, bytes([value]))
        elif isinstance(getattr(message, name), float):
            setattr(message, name, float(value))  # "nan" too, which JSON has no number for
        else:
            setattr(message, name, value)
    return message


def plain(value):
    """Return a message, deep, as values that JSON has."""
    if hasattr(value, "get_fields_and_field_types"):
        return {name: plain(getattr(value, name)) for name in value.get_fields_and_field_types()}
    if hasattr(value, "tolist"):  # an array, numpy's or Python's
        return value.tolist()
    if isinstance(value, bytes):
        return value[0] if len(value) == 1 else base64.b64encode(value).decode()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, str | bool | int | float):
        return value
    return [plain(v) for v in value]


def qos(name="reliable", depth=10):
    """Return a quality of service by name: reliable, latched or best_effort."""
    profile = QoSProfile(depth=depth)
    if name == "latched":
        profile.durability = DurabilityPolicy.TRANSIENT_LOCAL
    if name == "best_effort":
        profile.reliability = ReliabilityPolicy.BEST_EFFORT
    return profile
