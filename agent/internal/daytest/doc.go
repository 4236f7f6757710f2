// Package daytest lets an agent live through two days of everything that goes
// wrong, and another one through a day of noise without an end, in fake time. It
// holds against them what must not have happened.
//
// The agent is the real one: engine, schedule, update server client, download,
// journal and MQTT link, over a folder on the disk. Around it are made-up things:
//
//	chip_test.go    two slots, OTA data, a bootloader that goes back by itself
//	body_test.go    the robot: what it says, does and suffers
//	server_test.go  the update server: answers, fails, hangs, asks to be left alone
//	fleet_test.go   a real broker over pipes, and the operator behind it
//	life_test.go    one life of the agent, and its sudden end at any operation
//	watch_test.go   the oracles: what is never to happen, and what may not often
//	day_test.go     the two days
//	soak_test.go    the day of noise: one life, and no goroutine, file, map or byte more at its end
//	growth_test.go  what there is of them, by the hour
//	clock_test.go   the clock on the wall, which is set both ways
//
// There is no code here but tests.
package daytest
