// Package deflate packs data as small as the format allows, at the price of
// time: some seconds a megabyte.
//
// A zlib stream of an image is written to a chip's flash over a serial line, and
// while that goes on the robot has no firmware. So each percent off the stream
// is a percent off that time, and the time to pack it, before, costs nothing.
// The usual libraries stop where a disk or a network would not notice: of real
// ESP32 firmware they leave up to 4 % more.
//
// # How
//
//	match.go   all matches of each place: for each length the nearest
//	parse.go   the cheapest way through them, by the costs of the way before
//	block.go   where blocks end: neighbours are joined as long as that saves bits
//	code.go    Huffman codes and how they are written down
//	zlib.go    the stream: RFC 1950 around RFC 1951
//
// It is pure: no clock, no randomness, the same bytes for the same data.
package deflate
