// Package mqttlink is the robot's line to its fleet: commands come in over
// MQTT, what the agent does goes out.
//
// Parties: the fleet's operators publish commands; the broker carries them;
// this robot hears those under fleet/{robot_id}/ alone. The broker is trusted
// with nothing: it may repeat, hold back, reorder, forge or blow up messages.
// A forged command can at worst ask for an image that image.Verify proves, at
// a host that the configuration allows, when the gates are open; or for the
// firmware that ran before.
//
//	in   commands/ota       {"url","sha256","version"} and, where wanted, "id"
//	     commands/rollback  {"id","reason"} and, where wanted, "version", which must be the one that runs
//	     commands/cancel    {"id"}: of the job to cancel or of its command; one that has ended or was never heard of is refused
//	     each may carry "issued" (unix seconds, older than a day is refused) and "sku" (another one is refused)
//	out  ota/status         Status: the update and the keys, retained, on change
//	     ota/event          Event: each transition, each verdict on a command
//	     ota/health         watch.Health: what was counted since its epoch began, every minute
//	     ota/online         Online, retained; the broker's last will says {"online":false}
//
// Layers, one file each:
//
//	command.go  bytes → Command, strictly                          pure
//	judge.go    a message in a situation → what it means           pure
//	event.go    what goes out: events                              pure
//	status.go   what goes out: the status, and what orders it
//	seen.go     the commands that took effect, on disk
//	outbox.go   the events that the broker has not acknowledged, on disk
//	link.go     the engine's side: acts on commands, hears of transitions
//	talk.go     connect, speak, lose the connection, wait, connect again
//	session.go  paho: one client for each connection
//	dial.go     TLS, certificates, password
//	report.go   or, without a broker: the same words to the update server
//	health.go   how the line is doing
//	try.go      the broker as a stranger would find it
//
// Delivery: QoS 1 and a session that the broker keeps, so that commands sent
// while the robot is away arrive later. A command takes effect first and is
// remembered and acknowledged then; one that comes again because a crash or a
// lost connection came between is known by its id, or by its content. Events
// are written to disk when they happen and leave it when the broker has
// acknowledged them: they arrive in order and at least once, and Event.ID
// tells a second copy. The status is told after the events that led to it.
package mqttlink
