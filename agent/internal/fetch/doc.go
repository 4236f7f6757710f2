// Package fetch downloads signed images into a store and proves them there.
//
// Parties. Who names a URL, the server behind it and all that lies between are
// trusted with nothing but bandwidth: what they send is bounded in size and in
// slowness, and lies as unverified bytes until image.Verify has accepted it.
// Only the private state directory of the agent is trusted to keep what was
// written and synced; that it did is checked all the same.
//
// A file's way through the store, a directory of mode 0700:
//
//	<key>.part, <key>.meta   being downloaded; key: the SHA-256, or of the URL
//	<sha256>.rebuild         being made from an image in the store and a patch
//	<sha256>.unverified      complete, synced, of that SHA-256
//	<sha256>.img             image.Verify has accepted these very bytes
//
// Resume. The meta file says how many bytes of the part file were synced and
// what their SHA-256 is. Whatever a crash or a power cut left beyond them is
// cut off, and if they do not hash to it, the download starts from zero. The
// server is asked for the rest with Range and, where it gave a strong ETag,
// with If-Range; without an ETag only where the offer names the SHA-256 that
// the whole must have. A whole of several pieces that has another SHA-256 than
// the offer's is fetched once more in one piece before it is refused.
//
// Patches. An offer may name a patch from an image that the store keeps. It is
// downloaded like a file, and what it makes is written aside and becomes
// <sha256>.unverified only if it has the SHA-256 of the offered file: from there
// on nobody can tell how it came. A patch that is missing, late, larger than what
// is missing of the whole, for another base or another result, broken or a bomb
// costs its own bytes, and the whole file is downloaded.
//
// Files of this robot (file:// URLs, for a hall without a network) go the same
// way: copied into the store, verified there. Who names one is trusted no more
// than who names a server: it must lie in a folder that the configuration
// opens, be a regular file and no link, and have a bounded size. Of a folder
// the newest image is taken that verifies for this robot.
//
// Attacks. Endless data: the size is known and bounded before the first byte
// is written. Slow retrieval: a lower bound on speed, and on progress across
// connections. Mix-and-match of pieces: ETag, SHA-256, and in the end the
// signature. Compressed answers are refused, so no decompression bomb either.
package fetch
