//go:build race

package daytest

// The race detector does not know that nobody else runs after synctest.Wait
// until we sleep, so what is read then without locks would be reported.
const racing = true
