// Package compat holds what firmware and companion software must agree on:
// version numbers, the protocol each firmware speaks, and the companion
// versions that fit it.
//
// The table is the operators' own ([DefaultTable]). It is asked before an
// update is triggered, with the version from the signed app description of the
// image, never with what a server or a header claims.
//
// A firmware that the table does not list is refused: nothing here guesses
// that two parties understand each other.
//
// The package is pure: no I/O, no clock, no log.
package compat
