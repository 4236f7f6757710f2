// Package image reads, signs and verifies the fleet's signed firmware images.
//
// Parties. The build server holds a private key and signs ([Sign]). Update
// server, CDN, MQTT broker and network carry the file and are trusted with
// nothing. The robot holds public keys ([Keyring]) and believes what a known
// key has signed ([Verify]).
//
// Layers. A signed file is a container around an app image:
//
//	container header, 136 bytes, little-endian, NOT signed   [Header]
//	  0 magic u32 0x524F424F   4 version u32   8 image_size u32
//	  12 sha256[32]   44 signature[64]   108 reserved[28] = 0
//	payload: the ESP32 app image                              [App]
//	  header, segments, checksum, SHA-256, perhaps a Secure Boot v2 sector
//
// The signature is ECDSA P-256 over the SHA-256 of the payload, r‖s, 32 bytes
// each, big-endian. The header is outside it: its version and size decide
// nothing. The version that counts is that of the app description inside the
// payload; a header that disagrees is an attack and refused.
//
// Trust. Only [Verify] makes a [Verified], and it checks in an order in which
// nothing unverified decides: shape, size, hash, signature, and only then what
// the payload says of itself. A Verified owns a copy of the bytes that were
// checked, so that what was verified is what is flashed. [ParseHeader] and
// [ParseApp] prove nothing about origin.
//
// Malleability. For every ECDSA signature (r, s), (r, n-s) is one too, and the
// signers of the existing fleet use both; so a file's own SHA-256 can be
// changed by an outsider without breaking its signature. Images are therefore
// identified by the payload ([Verified.SHA256]) or by the digest that the chip
// attests ([App].Digest), never by header or signature.
//
// The package is pure: no I/O, no clock, no log.
package image
