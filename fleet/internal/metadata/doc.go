// Package metadata keeps the fleet's release metadata (package tuf) in the
// store: it takes what the owner has signed offline, and signs what this server
// has keys for, again and again before it expires.
//
// Parties. The owner's people hold the root keys, and the server never has
// them. The key for the list of files (targets) may lie with the server, which
// then lists releases as they are published and withdrawn, or with the owner,
// who signs a draft. The online key lies with the server: whoever takes the
// server can say no more with it than "this is the newest list", for a few days.
//
// Several servers over one store may hold the same keys. Each pass is one
// transaction, as if alone: it signs only what is due, so that it does not
// matter which of them comes first, and none needs to lead.
//
// Versions. Snapshot, timestamp and list count the minutes since 1970, or one
// on from the last, whichever is more: so a server that was set back to a backup
// goes on above what robots have seen, and they do not take it for an attack.
// Root documents count by one, as TUF wants it.
package metadata
