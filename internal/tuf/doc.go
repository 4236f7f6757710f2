// Package tuf makes and checks the fleet's release metadata: the documents of
// The Update Framework (TUF 1.0, theupdateframework.github.io/specification)
// by which a fleet's owner says, until when, which signed files he stands for.
// Canonical JSON, signatures and the order of checks are go-tuf's; what is here
// are the fleet's roles, bounds before anything is used, and refusals that name
// the attack.
//
// Roles.
//
//	root       says which keys speak for the others. Its keys lie offline with
//	           several people; a threshold of them signs (2 of 3, say).
//	targets    lists the files. Its key lies offline, on the build server, or
//	           with the update server, as the owner chooses.
//	snapshot   names the targets document that counts, timestamp the snapshot.
//	timestamp  Both are signed with the online key by the update server, again
//	           and again, as they soon expire.
//
// Trust. A client begins with a root document that its operator gave it, and
// takes each next one only if both the one before and it itself have signed it
// by their thresholds. Who brings documents is trusted with nothing. A stolen
// online key can neither add a file nor bring an old list back; it can keep
// robots at the newest list for as long as that is valid. One stolen root key
// of two that are needed changes nothing.
//
// It does not make an image trusted: the image's own signature is verified
// beside it, by other keys (package image), and neither takes the other's place.
//
// Keys are ECDSA P-256, as those of images (ota-sign keygen makes both).
package tuf
