// Package delta makes patches between neighbouring firmware images, and
// rebuilds one image from the other and a patch.
//
// Parties. The update server makes a patch ([Make]), the robot applies it
// ([Apply]) to the image that it keeps. A patch is trusted with nothing: what
// it says of sizes and hashes is bounded before it is believed, memory does not
// grow with what it unpacks to, and what comes out counts only if it is the
// image that was offered and its signature is good, which is for the caller to
// look at.
//
// How. A patch copies pieces of the base and corrects them (see plan), because
// code that has moved differs from what it was in addresses alone. Of these
// most need not be told: once it is known which piece went where, the address
// that a call, a load of a literal or a pointer held can be worked out anew (see
// predictor). Only what was worked out wrongly is told. docs/architecture.md has
// what that saves.
//
// Form, version 1. All numbers are little-endian.
//
//	  0 magic u32 "RODL"   4 version u8 = 1   5 reserved[3] = 0
//	  8 size of the base u32   12 size of the result u32
//	 16 SHA-256 of the base    48 SHA-256 of the result
//	 80 sizes of the five streams u32, which follow each other to the end
//	100 steps, gaps, runs, values, literals: each a Zstandard frame
//
// Numbers in the streams are varints as encoding/binary has them.
//
//	steps     kinds of references that are worked out anew (bits); number of
//	          segments of the base, each with offset, address, size; the same of
//	          the result; number of steps, all bytes copied, all literal bytes,
//	          all seeks (signed)
//	gaps      bytes that need no correction, runs: the bytes after them that do
//	values    what is added to those
//	literals  bytes that come from nowhere
package delta
