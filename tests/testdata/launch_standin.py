"""Runs a launch file over stand-ins for ROS 2's launch packages and checks what it would start."""

import runpy
import sys
import types


def recorder(kind, allowed):
    """Return a class that keeps its arguments and takes no others than those allowed."""

    def __init__(self, *args, **kwargs):
        unknown = set(kwargs) - set(allowed)
        if unknown:
            raise TypeError(f"{kind}: no argument {sorted(unknown)}")
        self.args = args
        self.__dict__.update(kwargs)

    return type(kind, (), {"__init__": __init__})


def substitution(name):
    """Stand in for LaunchConfiguration."""
    return types.SimpleNamespace(perform=lambda context: context[name])


def module(name, **content):
    """Put a module in place."""
    found = types.ModuleType(name)
    found.__dict__.update(content)
    sys.modules[name] = found


Declare = recorder("DeclareLaunchArgument", ("default_value", "description"))
Opaque = recorder("OpaqueFunction", ("function",))
Node = recorder(
    "Node",
    ("package", "executable", "name", "namespace", "arguments", "parameters", "output", "respawn", "respawn_delay"),
)
module("launch", LaunchDescription=list)
module("launch.actions", DeclareLaunchArgument=Declare, OpaqueFunction=Opaque)
module("launch.substitutions", LaunchConfiguration=substitution)
module("launch_ros")
module("launch_ros.actions", Node=Node)

sys.dont_write_bytecode = True
*declared, opaque = runpy.run_path(sys.argv[1])["generate_launch_description"]()
context = {entry.args[0]: entry.default_value for entry in declared}
assert context == {"config": "/etc/robot-ota/agent.yaml", "namespace": "", "params": ""}, context
assert all(entry.description for entry in declared)

(node,) = opaque.function(context)
assert (node.package, node.executable, node.name) == ("robot_ota", "ota-agent", "ota_agent")
assert node.arguments == ["run", "--config", "/etc/robot-ota/agent.yaml"], node.arguments
assert node.namespace == "" and node.parameters == []

(node,) = opaque.function({"config": "/a.yaml", "namespace": "/r1", "params": "/p.yaml"})
assert node.arguments == ["run", "--config", "/a.yaml"], node.arguments
assert node.namespace == "/r1" and node.parameters == ["/p.yaml"]
