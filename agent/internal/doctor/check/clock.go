package check

import (
	"context"
	"time"

	"golang.org/x/sys/unix"

	"github.com/robot-platform/robot-ota/agent/internal/doctor"
)

// Sync says whether the kernel's clock follows a time server; an error: that
// cannot be told.
type Sync func() (bool, error)

// Synchronised asks the kernel (adjtimex(2)), and sets nothing.
func Synchronised() (bool, error) {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	if err != nil {
		return false, err
	}
	return state != unix.TIME_ERROR && t.Status&unix.STA_UNSYNC == 0, nil
}

// How far from the server's clock is worth a word: answers of a server are cut
// to a second; commands over MQTT may be a day old; certificates begin at some
// minute.
const (
	offWarn = 10 * time.Second
	offFail = 10 * time.Minute
)

// The years between which the clock of a robot that gets updates can be.
const firstYear, lastYear = 2025, 2100

const setClock = "timedatectl set-ntp true; timedatectl timesync-status tells which server is asked (a Raspberry Pi 5 keeps time only with a battery at its RTC)"

// Clock looks at this computer's clock: that its year can be, that it follows a
// time server, and that it agrees with the update server's. ask may be nil.
func Clock(now func() time.Time, sync Sync, ask func(context.Context) Answer) doctor.Check {
	return doctor.Check{Name: "clock", About: "this computer's clock", Within: 20 * time.Second, Run: func(ctx context.Context) []doctor.Finding {
		t := now()
		if y := t.UTC().Year(); y < firstYear || y > lastYear {
			return []doctor.Finding{doctor.Bad(setClock, "the clock says %s: no certificate is valid then", t.UTC().Format(time.DateTime))}
		}
		findings := []doctor.Finding{synchronised(sync)}
		if ask == nil {
			return findings
		}
		switch a := ask(ctx); {
		case !a.Dated:
			findings = append(findings, doctor.Skip("the update server's clock is not known: it did not answer"))
		default:
			findings = append(findings, apart(a.Ahead))
		}
		return findings
	}}
}

func synchronised(sync Sync) doctor.Finding {
	ok, err := sync()
	switch {
	case err != nil:
		return doctor.Skip("whether it follows a time server: %v", err)
	case !ok:
		return doctor.Doubt(setClock, "the clock follows no time server: it drifts, and is wrong after the power was off")
	}
	return doctor.Good("the clock follows a time server")
}

func apart(ahead time.Duration) doctor.Finding {
	off, where := ahead, "ahead of"
	if ahead < 0 {
		off, where = -ahead, "behind"
	}
	const do = "find out which of the two is wrong: `date -u`, and `curl -sI` of the server; then set it: timedatectl set-ntp true"
	switch off = off.Round(time.Second); {
	case off >= offFail:
		return doctor.Bad(do, "the clock is %s %s the update server's", off, where)
	case off >= offWarn:
		return doctor.Doubt(do, "the clock is %s %s the update server's", off, where)
	}
	return doctor.Good("the clock agrees with the update server's")
}
