// Package lies tells an agent lies, and holds its answers against what they
// should be.
//
// The table has a cell for each attack of TUF's and Uptane's lists by each
// attacker. A cell is a list of lies: what is told, and what the agent has to
// answer, with the attack's name where the agent can know it. After each lie the
// flash must be what it was, byte for byte, the chip must not have been reset nor
// its line taken, and the running version must be the old one; after the last, an
// honest offer must still be taken. Where an attack cannot be refused (a network
// that carries nothing delays, whatever is built), the cell says so, and what is
// guaranteed all the same.
//
// The agent is the real one: configuration, keyring, HTTP client, download,
// update server client, MQTT link, engine, journal and loader protocol. Around it:
//
//	robot_test.go    the agent, and a simulated ESP32 behind RFC 2217
//	server_test.go   update servers over real sockets and TLS, and who pretends to be one
//	net_test.go      the network between: cuts, throttles, records, changes
//	broker_test.go   a real broker, and what it says to robots
//	table_test.go    what a cell is, and that none is missing
//	*_cells_test.go  the cells of one attacker each; that with the online key meets
//	                 a robot that requires release metadata
//	story_test.go    what a broker may do, and nothing more
//
// Beside the table stand peers that keep to no rules at all:
//
//	bits_test.go       every bit of a signed image
//	http_test.go       raw answers through a good TLS connection
//	urls_test.go       URLs that lead where the robot may not go, and DNS that changes its mind
//	rawbroker_test.go  brokers, an hour of fake time with each
//	chips_test.go      chips that lie to the loader's protocol
//	ros_test.go        nonsense in the robot's name, and storms
//
// With ROBOT_OTA_PROOF_REPORT set to a file, each part appends a line of JSON to
// it: what was told, and how much of it was taken. ROBOT_OTA_PROOF=full flips all
// bits instead of a sample.
//
// There is no code here but tests.
package lies
