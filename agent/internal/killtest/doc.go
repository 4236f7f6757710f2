// Package killtest kills real processes of the agent with SIGKILL, at numbered
// points of an update of a simulated chip, and lets the next one go on.
//
// A process is this test binary: the real engine, journal, store of images,
// update server client, MQTT outbox and driver of the chip, over a real folder,
// a real TCP connection to the chip's line (RFC 2217) and one to an update
// server. It dies
//
//   - at an operation on its files, by its own hand: a layer of the disk counts
//     what changes something and sends SIGKILL, in the middle of it where it is
//     a write (deadly_test.go);
//   - at a byte that goes to the chip, by the hand of the test, which stands in
//     the middle of the line (line_test.go).
//
// Chip, server and folder live on. In the end the update has ended, the chip
// runs and boots what the agent says, the history holds together and has the
// job once. A power cut of the computer is more than that: the sweeps over
// disktest and the cut machine have it.
//
// There is no code here but tests.
package killtest
