// Package emergency stops releases, calls them back, and keeps incidents of it.
//
//	Halt       the rollout stops, the file is served to nobody
//	Rollback   the same, and robots that run it are to put it back
//
// An order is one transaction: everything of it is there, or nothing. It is found
// again by its release: done twice is done once. What is decided (scope, need) is
// decided by functions without I/O over what the store holds. A robot counts as
// having complied when it reports another firmware, never because it was told to.
package emergency
