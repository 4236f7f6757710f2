// Package console shows the agent's state to a person: as a page, as a line
// with a bar, or as plain lines where nobody watches.
//
// Everything that is shown may have come from outside (a URL, the reason of an
// emergency stop), so nothing but printable characters reaches the terminal.
//
// Layers, one file each:
//
//	style.go   colours and signs
//	figure.go  bytes, rates and times in words              (pure)
//	line.go    one state as one line, with a bar            (pure)
//	page.go    status, plan and history as pages            (pure)
//	keys.go    whose signatures count, as a page            (pure)
//	screen.go  a state as it changes, on a terminal or not
//	found.go   an examination as it goes on
package console
