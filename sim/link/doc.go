// Package link carries the serial line of a simulated chip out of the process:
// as a pseudo terminal, and as RFC 2217 over TCP.
//
// A pseudo terminal has the baud rate of its client but no modem lines: what
// resets the chip is a command of its own then. RFC 2217 has both. Neither
// keeps anybody out who reaches it: bind to loopback.
package link
