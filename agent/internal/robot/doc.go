// Package robot holds what is known about the robot: battery, E-stop, motion,
// diagnostics, and what the ESP32's firmware says of itself.
//
// Whoever hears something (the ROS node, a probe) hands an Observation to a
// Board; whoever decides something (preflight, watch, engine) reads the Facts
// of one moment. Each fact carries the time at which it was heard by this
// machine's clock, never the sender's stamp: staleness must not depend on a
// clock that the firmware or another computer may have wrong. A fact whose
// time is zero was never heard.
//
// Nothing in here is trusted further than "somebody on the robot said so":
// any DDS participant can publish. Facts can hold an update back or end a
// trial; they cannot make an image genuine.
package robot
