package emergency

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
	"github.com/robot-platform/robot-ota/fleet/internal/store/storetest"
)

func TestNeed(t *testing.T) {
	job := func(running, state, target string) store.RobotState {
		s := store.RobotState{JobID: "job", JobState: state, JobTarget: target}
		if running != "" {
			s.Version = v(running)
		}
		return s
	}
	for name, tt := range map[string]struct {
		state store.RobotState
		want  need
	}{
		"nothing is known":                {store.RobotState{}, unheard},
		"it runs the good one":            {job("0.2.0", "idle", ""), clear},
		"it runs it":                      {job("0.2.1", "idle", ""), putBack},
		"it is observed":                  {job("0.2.1", "observing", "0.2.1"), putBack},
		"it fetches it":                   {job("0.2.0", "downloading", "0.2.1"), giveUp},
		"it waits with it":                {job("", "waiting", "0.2.1"), giveUp},
		"it writes it":                    {job("0.2.0", "attesting", "0.2.1"), giveUp},
		"it boots it":                     {job("0.2.0", "booting", "0.2.1"), putBack},
		"it tries it":                     {job("", "validating", "0.2.1"), putBack},
		"it puts it back":                 {job("0.2.1", "rolling_back", "0.2.1"), returning},
		"it put it back":                  {job("0.2.0", "rolled_back", "0.2.1"), clear},
		"it failed on it":                 {job("0.2.0", "failed", "0.2.1"), clear},
		"it runs it and fetches the next": {job("0.2.1", "downloading", "0.2.2"), putBack},
		"it fetches the next":             {job("0.2.0", "downloading", "0.2.2"), clear},
		"it puts something else back":     {job("0.2.2", "rolling_back", "0.2.2"), clear},
		"it says what makes no sense":     {job("0.2.0", "dancing", "0.2.1"), clear},
	} {
		if got := needOf(tt.state, v("0.2.1")); got != tt.want {
			t.Errorf("%s: got %d, want %d", name, got, tt.want)
		}
	}
}

func TestStep(t *testing.T) {
	now := storetest.Noon().Add(24 * time.Hour)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	downloads := store.RobotState{Version: v("0.2.0"), JobID: "job-7", JobState: "downloading", JobTarget: "0.2.1"}
	told := store.Command{ID: "i/1/r1", Verb: store.VerbRollback}
	cancelled := store.Command{ID: "i/1/r1", Verb: store.VerbCancel}
	refused := func(since time.Duration) store.Command {
		c := told
		c.Acknowledged, c.Verdict = ago(since), "refused"
		return c
	}
	dropped, complied := told, told
	dropped.Dropped, complied.Complied = now, now
	unnamed := downloads
	unnamed.JobID = "a\nb"
	for name, tt := range map[string]struct {
		state    store.RobotState
		rollback bool
		have     []store.Command
		want     string
	}{
		"it runs it":                         {runs("0.2.1"), true, nil, "enqueue rollback i/1/r1"},
		"it runs it, and that is all right":  {runs("0.2.1"), false, nil, ""},
		"it was told":                        {runs("0.2.1"), true, []store.Command{told}, ""},
		"it fetches it":                      {downloads, false, nil, "enqueue cancel i/1/r1"},
		"a job that no command can name":     {unnamed, true, nil, ""},
		"it fetched and runs it":             {runs("0.2.1"), true, []store.Command{cancelled}, "drop i/1/r1 enqueue rollback i/2/r1"},
		"it fetched and runs it, a halt":     {runs("0.2.1"), false, []store.Command{cancelled}, "drop i/1/r1"},
		"it is back":                         {runs("0.2.0"), true, []store.Command{told}, "comply i/1/r1"},
		"it was back and runs it again":      {runs("0.2.1"), true, []store.Command{complied}, "enqueue rollback i/2/r1"},
		"it refused just now":                {runs("0.2.1"), true, []store.Command{refused(time.Minute)}, ""},
		"it refused a while ago":             {runs("0.2.1"), true, []store.Command{refused(5 * time.Minute)}, "drop i/1/r1 enqueue rollback i/2/r1"},
		"it refused twice":                   {runs("0.2.1"), true, []store.Command{dropped, refused(6 * time.Minute)}, ""},
		"it refuses for ever, and is waited": {runs("0.2.1"), true, append(many(dropped, 70), refused(5*time.Hour)), ""},
		"it refuses for ever, and is asked":  {runs("0.2.1"), true, append(many(dropped, 70), refused(6*time.Hour)), "drop i/1/r1 enqueue rollback i/72/r1"},
		"it is not heard":                    {store.RobotState{}, true, []store.Command{told}, ""},
		"nothing to do":                      {runs("0.2.0"), true, nil, ""},
	} {
		i := store.Incident{ID: "i", Reason: "it bites"}
		r := record{Targets: []Target{{SKU: "standard", Version: v("0.2.1")}}, Rollback: tt.rollback}
		s := stepOf(i, r, store.Robot{ID: "r1", SKU: "standard", State: tt.state}, tt.have, now)
		var got []string
		for _, id := range s.drop {
			got = append(got, "drop "+id)
		}
		for _, id := range s.comply {
			got = append(got, "comply "+id)
		}
		for _, c := range s.enqueue {
			got = append(got, "enqueue "+string(c.Verb)+" "+c.ID)
		}
		if text := strings.Join(got, " "); text != tt.want || s.empty() != (tt.want == "") {
			t.Errorf("%s: got %q, want %q", name, text, tt.want)
		}
	}
}

func many(c store.Command, n int) []store.Command {
	out := make([]store.Command, n)
	for i := range out {
		out[i] = c
	}
	return out
}

// What goes to robots is what agents take: see the contract of the commands.
func TestPayload(t *testing.T) {
	for verb, want := range map[store.Verb]string{
		store.VerbRollback: `{"id":"i/1/r1","reason":"it \"bites\"","version":"0.2.1"}`,
		store.VerbCancel:   `{"id":"job-7","issued":1772366400}`,
	} {
		got := payload(verb, "i/1/r1", "job-7", `it "bites"`, compat.Version{Major: 0, Minor: 2, Patch: 1}, storetest.Noon())
		if string(got) != want || !json.Valid(got) {
			t.Errorf("%s: got %s", verb, got)
		}
	}
}
