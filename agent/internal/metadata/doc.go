// Package metadata asks the update server for release metadata (package tuf) and
// says which firmware files the fleet's owner stands for at this moment. With it
// the agent notices answers that are replayed, held back or mixed, which
// signatures of images alone do not show.
//
// Parties. The operator gives the robot a root document, in a file that the
// configuration names. The update server, and what stands in front of it, brings
// documents and is trusted with nothing. The state directory is trusted to keep
// what was written and synced.
//
// What was accepted lies there twice, in metadata.json and metadata.copy.json,
// and is what this robot never goes back behind: it is written before anything
// is decided by it. The newer of the copies that are whole counts, and mends the
// other. Where something is left and neither can be read, nothing is taken until
// an operator has looked and removed both; then it begins again with the
// operator's root. A root document of the operator that is newer than the
// accepted one takes its place: so he can lead a robot on that missed a rotation
// which nobody could sign any more.
//
// A list says nothing about whether an image is genuine: its signature does, by
// other keys (package image), and both are asked.
package metadata
