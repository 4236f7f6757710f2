// Package watch judges a firmware by what the robot reports: first the trial
// window after its boot, then the observation after it was confirmed.
//
// Both are plain values fed with the facts of one moment; they read no clock
// and do nothing. A verdict says what was seen, so that whoever reads the
// history can follow it. What was heard before the boot says nothing about the
// new firmware and is passed over.
package watch
