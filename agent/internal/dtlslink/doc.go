// Package dtlslink tries, again and again, whether the firmware's DTLS server
// can be reached: the ESP32 serves DTLS 1.2 with a pre-shared key (RFC 6347,
// RFC 4279) on UDP 5684, and a firmware that can no longer shake hands has
// lost the way by which its operators reach it.
//
// The parties are this agent, the client, and the firmware; each proves to
// the other that it has the key. The probe sends no application data and
// believes none: all that leaves this package is how many handshakes were
// tried, how many failed, and how long the last took. The key is read from a
// file that its owner alone may read, and is never logged.
//
// A handshake that could not even be sent (this computer has no network, or
// no address for the name) tells nothing of the firmware and is not counted.
package dtlslink
