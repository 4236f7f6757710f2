// Package espsim is an ESP32-S3 without the silicon: flash, serial boot loader,
// second-stage boot loader and an application, behind a serial line.
//
// It exists to be flashed. The robot's agent and Espressif's own esptool talk
// to it as they talk to a chip, and it answers as a chip does, its traps
// included. So that a misunderstanding cannot hide in code shared by both
// ends, nothing in here comes from the agent or from the firmware packages:
// SLIP, partition table, OTA data and image format are written a second time.
//
// # Layers
//
// From the cable inwards, one file or two each:
//
//	port, lane      the host's end of the cable; bytes take their time at a baud rate
//	lines           DTR and RTS through the two-transistor circuit to EN and IO0
//	slip            frames
//	rom, stub       the boot loader in ROM, and the flasher stub it can be given
//	nor             the flash: erase sets ones per sector, writes only clear bits
//	table, otadata, image, boot   the second-stage boot loader of ESP-IDF
//	app, behaviour  the application, which does what the image it came from says
//	faults          what goes wrong, and when
//
// # Time
//
// All waiting is done with timers of package time, never while a lock is held,
// so a Chip works inside a testing/synctest bubble and then costs no time at
// all. With Config.Unpaced and zero Timing it does not wait for line or flash
// in the first place, which is what a loop over thousands of cut points wants.
//
// # Trust
//
// The chip believes nobody: whatever arrives at its port is bounded before it
// is used. It is a simulator all the same and keeps no secrets.
package espsim
