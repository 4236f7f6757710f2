// Package keyring decides whose signatures count on a robot, and how that
// changes: by a signed document that adds keys and revokes others.
//
// # Parties
//
//	build server ──signs──▶ keyring document ──▶ update server, file, anybody ──▶ robot
//	 holds private keys                           trusted with nothing             Ring.Accept
//
// The keys that sign firmware sign the keyring too: a robot takes a document
// from keys that it trusts already, and from no others. The first of them come
// with its configuration.
//
// # Document
//
//	{"format": "robot-ota-keyring",
//	 "payload": base64 of {"schema": 1, "version": 7, "keys": [base64 of DER, …],
//	                       "revoked": [key id, …], "comment": "…", "issued": "…"},
//	 "signatures": [{"key": key id, "signature": base64 of r‖s}, …]}
//
// A signature is ECDSA P-256 over the SHA-256 of a fixed text and the payload's
// bytes as they are (see digestOf). No signature of a firmware passes for one of
// a keyring, nor the other way round: the text begins with a letter, an app
// image with 0xE9, and each side looks. A key id is that of [image.Key].
//
// For every ECDSA signature (r, s), (r, n-s) is one too. A document is
// therefore known by its payload ([Document.Digest]), never by its bytes.
//
// # What is in force
//
//	(keys of the configured files ∪ keys of the accepted document)
//	− (ids that the document revokes ∪ ids of the local revocation lists)
//
// A document takes the place of the one before it; its version only goes up. It
// has to list every revocation of the document before, so that the newest one
// says it all: whoever takes it misses no revocation. A document may be signed
// by the key that it revokes, which is how an old key is used for the last time.
//
// A robot that was away while A trusted B and B trusted C cannot know C. It
// takes the documents one after the other ([Ring.Follow]), so they are kept.
//
// # Attacks
//
// Roll-back and replay: the version only goes up. A foreign or revoked key: only
// keys in force sign. One stolen key: [Base.Threshold] says how many must sign;
// with 1, whoever holds one trusted key can replace all others. Dead end: a
// document after which no other could be accepted is refused. Freeze, an update
// server that holds a document back: a robot cannot tell, its operators can, by
// the version that it reports.
//
// The package is pure: no I/O, no clock, no log.
package keyring
