// Package cuttest is the cut machine: it interrupts updates at every numbered
// point and looks at what becomes of the robot.
//
// One process and fake time hold the whole robot: the real engine, journal,
// download, update server's client, MQTT link, esp32, esprom and slots drive
// the simulated chip of sim/espsim over in-memory pipes. A run is one update (a
// flow) with up to two interruptions (cuts); after each the world comes back as
// it would: power returns, the cable is plugged in, the agent is started again.
// Oracles look at each change of the flash, at each boot, and at the end.
//
// A point is a flow and its cuts, in words:
//
//	good/flash/213/half/robot
//	hang/frame-out/17/drop/line/second/flash/4/after/esp32
//
// go test -run 'TestPoint$' -args -point=… replays one; `make proof POINT=…`
// does that. There is no product code here.
package cuttest
