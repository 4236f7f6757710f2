package mqttlink

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/firmware/compat"
)

var (
	noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	sum  = strings.Repeat("ab", 32)
)

const unixNoon = "1772366400"

// good is a command that is followed.
func good(more string) string {
	return `{"url":"https://updates.example.org/a","sha256":"` + sum + `","version":"0.2.1"` + more + `}`
}

func version(s string) compat.Version {
	v, err := compat.ParseVersion(s)
	if err != nil {
		panic(err)
	}
	return v
}

// now is a situation in which 0.2.0 runs and nothing goes on.
func now(known ...known) situation {
	return situation{
		now: noon, sku: "standard",
		status: update.Status{State: update.Idle, Running: update.Installed{Version: version("0.2.0")}},
		known:  knows(known...),
	}
}

func knows(list ...known) func(string) (known, bool) {
	return func(key string) (known, bool) {
		for _, k := range list {
			if k.Key == key {
				return k, true
			}
		}
		return known{}, false
	}
}

func TestJudge(t *testing.T) {
	busy := now()
	busy.status.State, busy.status.JobID, busy.status.Command = update.Writing, "job-1", "c-1"
	back := now(known{Key: "rollback r-1", Job: "job-2", At: noon})
	back.status.State, back.status.JobID = update.RollingBack, "job-2"
	after := now(known{Key: "ota c-1", Job: "job-1", At: noon.Add(-time.Hour)})
	unknown := now()
	unknown.status.Running = update.Installed{}
	noID := message{verb: verbUpdate, payload: []byte(good(""))}
	told := func(age time.Duration) situation {
		return now(known{Key: "ota " + noID.digest(), Job: "job-1", At: noon.Add(-age)})
	}
	for name, tt := range map[string]struct {
		v    verb
		text string
		s    situation
		code string // "" for followed
		want string
	}{
		"update":             {verbUpdate, good(""), now(), "", ""},
		"with all":           {verbUpdate, good(`,"id":"c-1","issued":` + unixNoon + `,"sku":"standard"`), now(), "", ""},
		"digest in capitals": {verbUpdate, strings.Replace(good(""), sum, strings.ToUpper(sum), 1), now(), "", ""},
		"running unknown":    {verbUpdate, good(""), unknown, "", ""},
		"rollback":           {verbRollback, `{"id":"r-1","reason":"brakes"}`, now(), "", ""},
		"rollback of this":   {verbRollback, `{"id":"r-1","reason":"brakes","version":"0.2.0"}`, now(), "", ""},
		"cancel by command":  {verbCancel, `{"id":"c-1"}`, busy, "", ""},
		"cancel by job":      {verbCancel, `{"id":"job-1"}`, busy, "", ""},
		"cancel a roll-back": {verbCancel, `{"id":"r-1"}`, back, "", ""},

		"not JSON":        {verbUpdate, `url=https://x`, now(), codeMalformed, "no JSON object"},
		"binary":          {verbUpdate, "{\"id\":\"\xff\"}", now(), codeMalformed, "not UTF-8"},
		"list":            {verbUpdate, `[1]`, now(), codeMalformed, "no JSON object"},
		"null":            {verbUpdate, `null`, now(), codeMalformed, "no JSON object"},
		"half":            {verbUpdate, `{"url":"https://x"`, now(), codeMalformed, "ends too early"},
		"half a value":    {verbUpdate, `{"url":"https`, now(), codeMalformed, "no valid JSON"},
		"two":             {verbUpdate, good("") + good(""), now(), codeMalformed, "something follows"},
		"key twice":       {verbUpdate, good(`,"version":"0.9.0"`), now(), codeMalformed, `"version" is there twice`},
		"unknown key":     {verbUpdate, good(`,"force":true`), now(), codeMalformed, `unknown field "force": commands/ota has id, issued, sha256, sku, url, version`},
		"case of a key":   {verbUpdate, good(`,"Id":"x"`), now(), codeMalformed, `unknown field "Id"`},
		"long key":        {verbUpdate, good(`,"` + strings.Repeat("k", 200) + `":1`), now(), codeMalformed, "kkk…"},
		"no url":          {verbUpdate, `{"sha256":"` + sum + `","version":"0.2.1"}`, now(), codeMalformed, `"url" is missing`},
		"no digest":       {verbUpdate, `{"url":"https://x/a","version":"0.2.1"}`, now(), codeMalformed, `"sha256" is missing`},
		"no version":      {verbUpdate, `{"url":"https://x/a","sha256":"` + sum + `"}`, now(), codeMalformed, `"version" is missing`},
		"number":          {verbUpdate, good(`,"id":7`), now(), codeMalformed, "id: want text in quotes"},
		"null value":      {verbUpdate, good(`,"id":null`), now(), codeMalformed, "id: want text in quotes"},
		"empty id":        {verbUpdate, good(`,"id":" "`), now(), codeMalformed, "id: want 1 to 128 printable"},
		"long id":         {verbUpdate, good(`,"id":"` + strings.Repeat("x", 129) + `"`), now(), codeMalformed, "id: want 1 to 128 printable"},
		"odd id":          {verbUpdate, good(`,"id":"a\u0000b"`), now(), codeMalformed, "id: want 1 to 128 printable"},
		"no such version": {verbUpdate, strings.Replace(good(""), "0.2.1", "latest", 1), now(), codeMalformed, "version: "},
		"zero version":    {verbUpdate, strings.Replace(good(""), "0.2.1", "0.0.0", 1), now(), codeMalformed, "0.0.0"},
		"issued as text":  {verbUpdate, good(`,"issued":"today"`), now(), codeMalformed, "issued: want the unix time"},
		"issued null":     {verbUpdate, good(`,"issued":null`), now(), codeMalformed, "issued: want the unix time"},
		"issued negative": {verbUpdate, good(`,"issued":-1`), now(), codeMalformed, "issued: want the unix time"},
		"issued in ms":    {verbUpdate, good(`,"issued":1772366400000`), now(), codeMalformed, "issued: want the unix time"},
		"oversized":       {verbUpdate, good(`,"id":"` + strings.Repeat("x", maxCommand) + `"`), now(), codeOversized, "larger than 4096 bytes"},
		"foreign SKU":     {verbUpdate, good(`,"sku":"basic"`), now(), codeForeignSKU, `for robots of the SKU "basic", this one is "standard"`},
		"stale":           {verbUpdate, good(`,"issued":1772200000`), now(), codeStale, "more than 24h0m0s ago"},
		"future":          {verbUpdate, good(`,"issued":1773366400`), now(), codeClock, "one of the two clocks is wrong"},
		"http":            {verbUpdate, strings.Replace(good(""), "https", "http", 1), now(), codeRequest, "must begin with https://"},
		"file":            {verbUpdate, strings.Replace(good(""), "https://updates.example.org", "file:///media", 1), now(), codeRequest, "from this robot alone"},
		"password":        {verbUpdate, strings.Replace(good(""), "https://", "https://me:hunter2@", 1), now(), codeRequest, "holds a user or password"},
		"bad digest":      {verbUpdate, strings.Replace(good(""), sum, "abc", 1), now(), codeRequest, "64 lower-case hex digits"},
		"same version":    {verbUpdate, strings.Replace(good(""), "0.2.1", "0.2.0", 1), now(), codeNotNewer, "asks for 0.2.0, and 0.2.0 runs here"},
		"older version":   {verbUpdate, strings.Replace(good(""), "0.2.1", "0.1.9", 1), now(), codeNotNewer, "to go back, send commands/rollback"},

		"rollback, no id":       {verbRollback, `{"reason":"x"}`, now(), codeMalformed, `"id" is missing`},
		"rollback, no reason":   {verbRollback, `{"id":"r"}`, now(), codeMalformed, `"reason" is missing`},
		"rollback, odd reason":  {verbRollback, `{"id":"r","reason":"a\nb"}`, now(), codeMalformed, "reason: want 1 to 500 printable"},
		"rollback of another":   {verbRollback, `{"id":"r","reason":"x","version":"0.2.1"}`, now(), codeNotRunning, "to roll 0.2.1 back, but 0.2.0 runs here"},
		"rollback of unknown":   {verbRollback, `{"id":"r","reason":"x","version":"0.2.1"}`, unknown, codeNotRunning, "an unknown version runs here"},
		"rollback, url":         {verbRollback, `{"id":"r","reason":"x","url":"https://a"}`, now(), codeMalformed, `unknown field "url"`},
		"cancel, no id":         {verbCancel, `{}`, now(), codeMalformed, `"id" is missing`},
		"cancel of a late job":  {verbCancel, `{"id":"job-0"}`, busy, codeUnknown, `"job-0" is neither the job that goes on here (job-1) nor its command`},
		"cancel, where none is": {verbCancel, `{"id":"job-0"}`, now(), codeUnknown, `(none)`},
		"cancel what ended":     {verbCancel, `{"id":"c-1"}`, after, codeEnded, "has ended"},

		"same id":              {verbUpdate, good(`,"id":"c-1"`), after, codeDuplicate, "is not followed twice"},
		"same id, other words": {verbUpdate, strings.Replace(good(`,"id":"c-1"`), "0.2.1", "0.3.0", 1), after, codeDuplicate, "with a new id"},
		"before remembered":    {verbUpdate, good(`,"id":"c-1"`), busy, codeDuplicate, "is not followed twice"},
		"same words":           {verbUpdate, good(""), told(recent / 2), codeDuplicate, "is not followed twice"},
		"same words, later":    {verbUpdate, good(""), told(2 * recent), "", ""},
		"id of another verb":   {verbRollback, `{"id":"c-1","reason":"x"}`, after, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, bad := judge(message{verb: tt.v, payload: []byte(tt.text)}, tt.s)
			if tt.code == "" {
				if bad != nil {
					t.Fatalf("refused: %+v", bad)
				}
				return
			}
			if bad == nil || bad.code != tt.code || !strings.Contains(bad.text, tt.want) {
				t.Fatalf("got %+v, want %s: %s", bad, tt.code, tt.want)
			}
			if strings.Contains(bad.text, "hunter2") {
				t.Error("the refusal gives a password away")
			}
		})
	}
}

// TestJudgeDelivery: the same bytes mean different things by how they come.
func TestJudgeDelivery(t *testing.T) {
	m := message{verb: verbUpdate, payload: []byte(good(""))}
	old := now(known{Key: "ota " + m.digest(), Job: "job-1", At: noon.Add(-30 * 24 * time.Hour)})
	if _, bad := judge(m, old); bad != nil {
		t.Errorf("said anew: %+v", bad)
	}
	m.again = true
	if _, bad := judge(m, old); bad == nil || bad.code != codeDuplicate || bad.job != "job-1" {
		t.Errorf("delivered again after a month: %+v", bad)
	}
	running := old
	running.status.JobID, running.status.State = "job-1", update.Waiting
	m.again = false
	if _, bad := judge(m, running); bad == nil || bad.code != codeDuplicate {
		t.Errorf("while its job waits for a month: %+v", bad)
	}
	m.retained = true
	if _, bad := judge(m, now()); bad == nil || bad.code != codeRetained {
		t.Errorf("retained: %+v", bad)
	}
}

func TestRequestOfACommand(t *testing.T) {
	a, bad := judge(message{verb: verbUpdate, payload: []byte(good(`,"id":" c-1 "`))}, now())
	want := update.Request{URL: "https://updates.example.org/a", SHA256: sum, Version: version("0.2.1"), Origin: update.FromMQTT, Command: "c-1"}
	if bad != nil || a.request != want || a.key != "ota c-1" {
		t.Errorf("%+v %+v", a, bad)
	}
	m := message{verb: verbUpdate, payload: []byte(good(""))}
	if a, _ := judge(m, now()); a.request.Command != m.digest() || !strings.HasPrefix(m.digest(), "sha256-") {
		t.Errorf("without an id: %+v", a)
	}
}

// FuzzCommand: nothing panics, what is followed is valid, and what is refused
// says why in few words.
func FuzzCommand(f *testing.F) {
	files, err := filepath.Glob("testdata/commands/*")
	if err != nil || len(files) == 0 {
		f.Fatal("no corpus", err)
	}
	for i, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(byte(i), raw)
	}
	f.Fuzz(func(t *testing.T, b byte, payload []byte) {
		v := verbs()[int(b)%len(verbs())]
		a, bad := judge(message{verb: v, payload: payload}, now())
		if bad != nil {
			if bad.code == "" || bad.text == "" || len(short(bad.text)) > 4*maxText+8 || !utf8.ValidString(bad.text) {
				t.Fatalf("refusal %+v", bad)
			}
			return
		}
		c := a.command
		if len(payload) > maxCommand || (v != verbUpdate && c.id == "") || len(c.id) > update.MaxCommand || len(c.reason) > maxReason {
			t.Fatalf("followed: %+v", c)
		}
		if v == verbUpdate && (a.request.Validate() != nil || c.version.Compare(version("0.2.0")) <= 0) {
			t.Fatalf("followed: %+v", a.request)
		}
	})
}
