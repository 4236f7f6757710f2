// Package emergency stops releases, calls them back, replaces stolen keys, and
// keeps the log of such incidents.
//
//	Halt       the rollout stops, the file is served to nobody, and robots that are
//	           on their way to it are to give up
//	Rollback   the same, and robots that run it are to put it back
//	Follow     what that means for each robot, again and again: who reports the
//	           release, now or later, gets its command; who has complied is noted
//	Compromised, Except, Replaced
//	           the replacement of a key, in Steps of which each is seen to be done
//	           in what the store holds, so that it is taken up at any of them
//
// An order is one transaction: everything of it is there, or nothing. Commands
// to robots follow in transactions of their own, so that a file is withdrawn at
// once however large the fleet is. Their ids follow from the incident, the robot
// and the attempt, and an order is found again by its release: done twice, by a
// command and a server or by a server that died and its successor, is done once.
//
// What is decided (scope, need, step, what lacks of a new key) is decided by functions without I/O over
// what the store holds. A robot counts as having complied when it reports
// another firmware, never because it was told to.
package emergency
