// Package trust owns the ring in force on a robot: whose signatures count at
// this moment. It keeps the accepted keyring document in the state directory,
// and decides nothing itself: see package keyring.
//
// Parties. The configuration's key files and revocation lists are the
// operator's; they are read before this package is asked. Keyring documents
// come from the update server or from a file; who brings one is trusted with
// nothing. The state directory is trusted to keep what was written and synced.
//
// A damaged document must never bring a revoked key back. So it lies there
// twice:
//
//	keyring.json        the accepted document, with the digest of its payload
//	keyring.copy.json   the same
//
// A new document is written aside, synced and renamed over the first, and that
// is the moment from which it is in force, also after a crash; the second
// follows. At the start the newer of the two that are whole counts, and mends
// the other: the one that was torn is put aside. A crash between write and
// rename leaves the document of before, and it is offered again.
//
// Where something is left of a document and neither copy can be read, what was
// revoked is not known. Then nobody is trusted ([DamagedError]), whatever the
// files say, at every start until an operator has looked and removed both:
// nothing can be installed meanwhile, the robot runs on, and what has to be
// rolled back still is.
package trust
