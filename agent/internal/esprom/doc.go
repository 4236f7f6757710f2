// Package esprom writes the flash of an ESP32-family chip over its serial
// bootloader.
//
// # Parties
//
//	Session (this package)  - SLIP frames -  ROM loader in the chip's mask ROM
//	                                         stub loader, uploaded by us to RAM
//	Port, Resetter (caller) - bytes and reset lines, nothing else
//
// # Layers, one file each
//
//	port.go      what a serial line and a reset circuit must offer
//	slip.go      bytes ↔ frames                                   (pure)
//	command.go   frames ↔ requests and replies, checksum, opcodes  (pure)
//	errors.go    what can go wrong, each with what to do
//	ask.go       requests that may be repeated
//	link.go      one request, one reply, over a Port, within a time-out
//	heard.go     what a line that does not answer says instead     (pure)
//	connect.go   reset, sync, recognise a stub that is still running
//	chip.go      what differs between chips                        (pure)
//	security.go  security info: what the chip forbids
//	stub.go      the stub images and their upload
//	spi.go       attach the flash, learn its size
//	baud.go      raise the line speed, fall back when it is noisy
//	flash.go     the flash commands, of the ROM and of the stub
//	plan.go      which parts of the flash differ from what is wanted
//	held.go      what the flash was proved to hold the time before
//	stream.go    an image as deflated blocks, with what each expands to (pure)
//	deflate      packs it small, while there is time                    (pure)
//	recover.go   resync, or reset and start over, after a fault
//	write.go     erase, write, prove by MD5; through the stub
//	writerom.go  the same through the ROM
//	read.go      read flash
//	session.go   the API
//
// # Trust
//
// Nothing that comes over the line is believed beyond its purpose: replies are
// bounded in size, matched to the request, and checked for their status. A
// reply that lies (noise that passes the framing, a duplicate, a stale one)
// can cost time but not correctness: Write succeeds only when the chip's own
// MD5 over the whole range, asked for after the last write, equals that of the
// data given. What the data is and whether it may be written is decided
// elsewhere (package image verifies, package slots keeps the running slot
// safe); this package does not parse or patch it.
//
// The stub images are code of Espressif's that runs on the chip. They are
// embedded at build time from the esptool package, not from the network at run
// time. Without one the ROM loader serves alone, about ten times slower.
//
// # Two loaders, two sets of rules
//
// The ROM answers a data block after writing it, counts sequence numbers, and
// advances the count even for a block whose checksum was wrong. The stub
// answers before it writes, ignores sequence numbers except 0, and reports a
// failed write with the next command, which it then skips. So after a doubtful
// exchange the ROM is sent the same block again, while the stub is
// resynchronised, asked by MD5 what it has, and given the rest as a new stream.
package esprom
