package release

import "github.com/robot-platform/robot-ota/firmware/compat"

// Robot is what a choice is made for.
type Robot struct {
	ID      string // "": nobody in particular
	SKU     string
	Running compat.Version
	// Companion is the version of the companion's software; zero: not known.
	Companion compat.Version
}

// Choose gives the release that the robot should have, of those that it is
// offered: the highest that is newer than what it runs and fits its companion.
// False: what it runs is right.
func Choose(offered []Release, robot Robot) (Release, bool) {
	var best Release
	for _, r := range offered {
		if r.SKU == robot.SKU && r.Live() && r.Version.Compare(robot.Running) > 0 && r.Version.Compare(best.Version) > 0 && robot.fits(r) {
			best = r
		}
	}
	return best, !best.Version.IsZero()
}

// fits says whether the robot's companion can talk to the release. One that
// nobody knows is taken to fit as long as the protocol stays what it is.
func (robot Robot) fits(r Release) bool {
	table := compat.DefaultTable()
	if !robot.Companion.IsZero() {
		return table.Check(r.Version, r.Protocol, robot.Companion) == nil
	}
	is, known := table.Protocol(robot.Running)
	will, listed := table.Protocol(r.Version)
	return known && listed && is == will
}
