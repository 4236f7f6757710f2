// Package robot is a simulated robot: the chip of espsim and what hangs on it,
// battery, emergency stop and motors, seen the way ROS sees a robot.
//
// Robot.Sample is everything the firmware would publish at one moment. An
// adapter, such as the ROS side, samples at the rates of the design and
// publishes nothing while Sample says so: the firmware is the only voice of
// the robot, and a chip that is being flashed has none.
//
// Control is the operator's hand: an HTTP API on a unix socket which presses
// buttons, pulls cables and reads the flash. Whoever reaches the socket may do
// all of it.
package robot
