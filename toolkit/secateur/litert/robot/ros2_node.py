"""The policy as a ROS 2 node, laid out for a robot whose observation and action are arrays of float32.

    ros2 run … or: python3 ros2_node.py --ros-args -p rate_hz:=50.0

Subscribes to ``observation`` and publishes ``action`` (std_msgs/Float32MultiArray), and publishes counts on
``policy_statistics`` (std_msgs/String, JSON) once a second. A robot with other messages changes ``_observed`` and
``_send``. It was not run: there is no ROS 2 where it was written.
"""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from robot import ControlLoop, Policy
from std_msgs.msg import Float32MultiArray, String


class PolicyNode(Node):
    """Keeps the latest observation; the control loop runs in a thread of its own, on the monotonic clock."""

    def __init__(self) -> None:
        super().__init__("policy")
        policy = Policy(Path(__file__).parent)
        rate_hz = self.declare_parameter("rate_hz", policy.control_hz or 50.0).value
        size = int(np.prod(policy.description["action"]["shape"]))
        safe_action = self.declare_parameter("safe_action", [0.0] * size).value
        self._lock = threading.Lock()
        self._latest: Any = None
        self._actions = self.create_publisher(Float32MultiArray, "action", 1)
        self._reports = self.create_publisher(String, "policy_statistics", 1)
        self.create_subscription(Float32MultiArray, "observation", self._observed, qos_profile_sensor_data)
        self.loop = ControlLoop(policy, rate_hz, self._read, self._send, safe_action)
        self.create_timer(1.0, self._report)
        self._thread = threading.Thread(target=self.loop.run, daemon=True)
        self._thread.start()

    def _observed(self, message: Float32MultiArray) -> None:
        with self._lock:
            self._latest = np.asarray(message.data, np.float32)

    def _read(self, wait_s: float) -> Any:
        with self._lock:
            observation, self._latest = self._latest, None
        return observation

    def _send(self, action: Any) -> None:
        self._actions.publish(Float32MultiArray(data=[float(value) for value in np.ravel(action)]))

    def _report(self) -> None:
        self._reports.publish(String(data=json.dumps(self.loop.counts)))

    def destroy_node(self) -> None:
        """Stops the loop; its last action is the safe one."""
        self.loop.stop()
        self._thread.join()
        super().destroy_node()


def main() -> None:
    """Entry point."""
    rclpy.init()
    node = PolicyNode()
    try:
        rclpy.spin(node)
    except KeyboardInterrupt:
        pass
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
