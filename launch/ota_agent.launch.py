"""Runs the over-the-air update agent as a node: ros2 launch robot_ota ota_agent.launch.py config:=/path/agent.yaml.

On a robot the agent is a systemd service (robot-ota.service); this is for a workspace, and for several robots on one
machine: each needs a namespace and a configuration of its own, in which state_dir and control_socket differ.
"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

ARGUMENTS = (
    ("config", "/etc/robot-ota/agent.yaml", "Configuration of the agent."),
    ("namespace", "", "Namespace of the node, for example /r1."),
    ("params", "", "YAML file with the node's ROS parameters; empty: none."),
)


def agent(context):
    """Return the node, once the values of the arguments are known."""
    config, namespace, params = (LaunchConfiguration(name).perform(context) for name, _, _ in ARGUMENTS)
    return [
        Node(
            package="robot_ota",
            executable="ota-agent",
            name="ota_agent",
            namespace=namespace,
            arguments=["run", "--config", config],
            parameters=[params] if params else [],
            output="screen",
            # An update that goes on is taken up again. What cannot work, such as a fault in the configuration, is not
            # tried faster than this.
            respawn=True,
            respawn_delay=5.0,
        )
    ]


def generate_launch_description():
    """Declare the arguments and start the agent."""
    declared = [DeclareLaunchArgument(name, default_value=value, description=text) for name, value, text in ARGUMENTS]
    return LaunchDescription([*declared, OpaqueFunction(function=agent)])
