package console

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/preflight"
	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/firmware/compat"
)

var (
	now  = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	fw   = update.Installed{Slot: "ota_0", Version: compat.Version{Minor: 2}}
	next = compat.Version{Minor: 2, Patch: 1}
)

func at(s update.State, before time.Duration) update.Status {
	return update.Status{State: s, JobID: "j", Since: now.Add(-before), Running: fw, Target: next, Slot: "ota_1", Message: "it is " + string(s)}
}

func TestLine(t *testing.T) {
	writing := at(update.Writing, 8*time.Second)
	writing.BytesDone, writing.BytesTotal, writing.Rate, writing.Progress = 350<<10, 1400<<10, 70<<10, 0.25
	trial := at(update.Validating, 12*time.Second)
	trial.Progress = 0.4
	odd := at(update.Downloading, time.Second)
	odd.BytesTotal, odd.Progress, odd.Rate = 1, math.NaN(), math.Inf(1)
	again := at(update.Failed, 0)
	again.Message = "failed: no such host"
	hostile := at(update.Waiting, 0)
	hostile.Message = "\x1b[2J\x07evil\r\nline\u202e"
	for name, tt := range map[string]struct {
		s     update.Status
		width int
		st    Style
		want  string
	}{
		"writing":  {writing, 0, Style{}, "writing      ######..................   25 %  350 KiB of 1.4 MiB  70 KiB/s  15s left"},
		"trial":    {trial, 0, Style{Unicode: true}, "validating   ██████████░░░░░░░░░░░░░░   40 %  18s left of the trial"},
		"colour":   {at(update.Failed, 0), 0, Style{Color: true}, "\x1b[31mfailed      \x1b[0m it is failed"},
		"narrow":   {at(update.Attesting, 0), 24, Style{}, "attesting    it is at..."},
		"tiny":     {at(update.Attesting, 0), 5, Style{}, "attesting    i"},
		"no sense": {odd, 0, Style{}, "downloading  ........................    0 %  0 B of 1 B"},
		"once":     {again, 0, Style{}, "failed       no such host"},
		"hostile":  {hostile, 0, Style{}, "waiting      ?[2J?evil??line?"},
	} {
		t.Run(name, func(t *testing.T) {
			got := tt.st.line(tt.s, now, tt.width)
			if got != tt.want {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}

func TestFigures(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0.0s", 1500 * time.Millisecond: "1.5s", 42 * time.Second: "42s",
		83 * time.Second: "1m23s", 26 * time.Hour: "26h00m",
	} {
		if got := span(d); got != want {
			t.Errorf("%s: %q, want %q", d, got, want)
		}
	}
	for n, want := range map[float64]string{-1: "0 B", 999: "999 B", 2048: "2 KiB", 1.5 * (1 << 20): "1.5 MiB"} {
		if got := size(n); got != want {
			t.Errorf("%f: %q, want %q", n, got, want)
		}
	}
	if got := moment(now.Add(-24*time.Hour), now); got != "2026-02-28 12:00:00" {
		t.Error(got)
	}
	if got := moment(now.Add(-time.Hour), now); got != "11:00:00" {
		t.Error(got)
	}
}

func TestScreenWhereLinesStay(t *testing.T) {
	var out strings.Builder
	c := NewScreen(&out, Style{}, nil)
	writing := at(update.Writing, 0)
	writing.BytesTotal = 100
	waiting := at(update.Waiting, 0)
	waiting.Reasons = []preflight.Reason{{Code: "moving", Text: "the robot moves", Lift: "standing still"}}
	c.Show(waiting, now)
	waiting.Reasons[0].Text = "the robot moves faster" // the same gate: nothing new
	c.Show(waiting, now)
	for p := range 101 {
		writing.Progress, writing.BytesDone = float64(p)/100, int64(p)
		c.Show(writing, now)
	}
	c.Show(at(update.Attesting, 0), now)
	if err := c.End(); err != nil {
		t.Fatal(err)
	}
	want := `12:00:00  waiting      it is waiting
  not now (moving): the robot moves; lifted by standing still
12:00:00  writing      it is writing
12:00:00  writing      ######..................   25 %  25 B of 100 B
12:00:00  writing      ############............   50 %  50 B of 100 B
12:00:00  writing      ##################......   75 %  75 B of 100 B
12:00:00  writing      ########################  100 %  100 B of 100 B
12:00:00  attesting    it is attesting
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &out, want)
	}
}

func TestScreenOnATerminal(t *testing.T) {
	var out strings.Builder
	c := NewScreen(&out, Style{}, func() int { return 60 })
	writing := at(update.Writing, 14*time.Second)
	c.Show(writing, now)
	c.Note("the agent\x1b has gone away")
	c.Show(at(update.Attesting, 0), now)
	if err := c.End(); err != nil {
		t.Fatal(err)
	}
	want := "\r\x1b[Kwriting      it is writing" +
		"\r\x1b[Kthe agent? has gone away\n" +
		"writing         14s it is writing\n" +
		"\r\x1b[Kattesting    it is attesting\n"
	if out.String() != want {
		t.Errorf("got\n%q\nwant\n%q", &out, want)
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("no space left") }

func TestScreenTellsThatItCannotWrite(t *testing.T) {
	c := NewScreen(broken{}, Style{}, nil)
	c.Show(at(update.Writing, 0), now)
	if err := c.End(); err == nil {
		t.Error("nothing was said")
	}
}

func TestPagesOfARobotThatSaysNothing(t *testing.T) {
	got := Status(update.Status{State: update.Idle, Message: "nothing to do"}, now, Style{})
	want := "state      idle  nothing to do\nrunning    unknown: the firmware has not spoken\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestStatusTellsOfTheMetadata(t *testing.T) {
	for name, tt := range map[string]struct {
		m    *update.Metadata
		want string
	}{
		"not asked for": {nil, ""},
		"none yet":      {&update.Metadata{Warning: "no timestamp.json\x1b"}, "metadata none was accepted yet, so nothing can be installed|no timestamp.json?"},
		"valid":         {&update.Metadata{List: 7, Timestamp: 9, Expires: now.Add(20 * time.Hour)}, "metadata list 7, valid until 2026-03-02 08:00:00 (20h00m)"},
		"expired":       {&update.Metadata{List: 7, Timestamp: 9, Expires: now.Add(-time.Hour)}, "metadata list 7, expired at 11:00:00: nothing can be installed until the update server has newer"},
	} {
		s := at(update.Idle, time.Second)
		s.Metadata = tt.m
		var got []string
		for line := range strings.Lines(Status(s, now, Style{})) {
			if line = strings.TrimSpace(line); strings.HasPrefix(line, "metadata") || len(got) > 0 {
				got = append(got, strings.Join(strings.Fields(line), " "))
			}
		}
		if strings.Join(got, "|") != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

func TestStatusTellsACauseOnce(t *testing.T) {
	const cause = "the serial line /dev/ttyACM0 is gone"
	for message, want := range map[string]string{
		"failed: " + cause + "; the chip is being put back": "failure loader.unreachable in connecting",
		"nothing to do": "failure loader.unreachable in connecting: " + cause,
	} {
		s := at(update.Failed, time.Second)
		s.Message, s.Failure = message, &update.Failure{Code: "loader.unreachable", State: update.Connecting, Text: cause}
		got := Status(s, now, Style{})
		if strings.Count(got, cause) != 1 || !strings.Contains(strings.Join(strings.Fields(got), " ")+" ", want+" ") {
			t.Errorf("%q: want %q and the cause once in\n%s", message, want, got)
		}
	}
}

func TestStatusTellsOfTheChecks(t *testing.T) {
	for name, tt := range map[string]struct {
		last *update.Check
		next time.Time
		want []string
	}{
		"never asked": {nil, time.Time{}, nil},
		"failed": {
			&update.Check{At: now.Add(-2 * time.Minute), Err: "cannot reach the server\x1b"}, now.Add(90 * time.Second),
			[]string{"last check 11:58:00 (2m00s ago): failed: cannot reach the server?", "next check at 12:01:30 (in 1m30s)"},
		},
		"nothing": {&update.Check{At: now}, now.Add(30 * time.Hour), []string{"last check 12:00:00 (0.0s ago): there is nothing newer", "next check at 2026-03-02 18:00:00 (in 30h00m)"}},
		"offered": {&update.Check{At: now, Offered: next}, time.Time{}, []string{"last check 12:00:00 (0.0s ago): 0.2.1 is offered"}},
	} {
		s := at(update.Idle, time.Second)
		s.LastCheck, s.NextCheck = tt.last, tt.next
		var got []string
		for line := range strings.Lines(Status(s, now, Style{})) {
			if strings.Contains(line, "check ") {
				got = append(got, strings.TrimSuffix(line, "\n"))
			}
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

// The long history tells how many bytes came, and of a patch what they stand for.
func TestHistoryTellsTheBytes(t *testing.T) {
	rs := []update.Record{
		{JobID: "whole", Kind: update.KindUpdate, Image: update.Image{Size: 1_368_152}, Downloaded: 1_368_288},
		{JobID: "patch", Kind: update.KindUpdate, Image: update.Image{Size: 1_368_152}, Downloaded: 41_895, Patched: true},
		{JobID: "before", Kind: update.KindUpdate},
	}
	got := History(rs, time.Now(), true, Style{})
	for _, want := range []string{"    downloaded 1.3 MiB\n", "    downloaded 41 KiB as a patch, of 1.3 MiB\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if strings.Count(got, "downloaded") != 2 {
		t.Errorf("a record of before tells of bytes:\n%s", got)
	}
}
