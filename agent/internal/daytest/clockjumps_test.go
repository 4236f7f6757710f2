//go:build clockjumps

package daytest

import "time"

// In this build time.Now tells a clock on the wall that can be set, and one that
// only runs forward, in the bubble too: scripts/soak makes it so.
const clocks = "every clock set"

func (*day) setClock(by time.Duration) { time.Jumped.Store(int64(by)) }

func (*day) wall() time.Time { return time.Now() }

func (*day) right() time.Time { return time.Now().Round(0).Add(-time.Duration(time.Jumped.Load())) }
