// Package mqttfleet is the fleet's line to its robots: what they publish comes
// in, commands of the outbox go out.
//
// Parties: robots publish below fleet/{robot_id}/, to which the broker's access
// rules keep each; the broker carries it, and is trusted with nothing but that.
//
//	in   fleet/+/ota/event, fleet/+/ota/status, fleet/+/ota/online   QoS 1
//	     fleet/+/ota/health, fleet/+/diagnostics                     QoS 0: the next one says it as well
//	out  fleet/{robot_id}/commands/{ota,rollback,cancel}             QoS 1
//
// One server does this, the leader. A shared subscription could part the work
// among several, but then one robot's messages would overtake each other, and a
// server that is gone would leave its share with the broker; and one takes in
// more than a broker brings it. All servers use one client id: who becomes the
// leader takes the session over, with what the broker kept in it.
//
// Delivery. A message of QoS 1 is acknowledged when it is stored; until then the
// broker keeps it. What is stored twice does no harm. While the store cannot keep
// up, or is away, a broker sends no more than it may have in flight, and what
// waits here is bounded. A command is sent when the broker has taken it, and sent
// again until the robot has answered, ever more seldom; at once when the broker
// has lost its session. Robots act on an id once.
//
// Layers, one file each:
//
//	link.go     connect, lose the connection, wait, connect again
//	inbox.go    messages: taken, stored, acknowledged
//	outbox.go   commands: due, published, noted
//	session.go  paho: one client for each connection
//	dial.go     TLS, certificates, password
package mqttfleet
