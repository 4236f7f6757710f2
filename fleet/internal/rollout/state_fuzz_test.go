package rollout

import (
	"encoding/json"
	"testing"
)

// FuzzState: a stored state is read as one that can be stored again, or refused.
func FuzzState(f *testing.F) {
	f.Add([]byte(`{"schema":1,"phase":"running","stage":"canary"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ParseState(b)
		if err != nil {
			return
		}
		raw, err := json.Marshal(s)
		if err != nil {
			return // a time beyond the year 9999 is read, and not written
		}
		if _, err := ParseState(raw); err != nil {
			t.Fatalf("%s is read, and %s is not: %v", b, raw, err)
		}
	})
}
