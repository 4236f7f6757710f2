package check

import (
	"fmt"
	"strings"
	"testing"

	"github.com/robot-platform/robot-ota/agent/internal/doctor"
)

// seen is what a check finds, one finding a line: LEVEL text => do.
func seen(t *testing.T, c doctor.Check) string {
	t.Helper()
	var b strings.Builder
	for _, f := range c.Run(t.Context()) {
		fmt.Fprintf(&b, "%s %s", f.Level, f.Text)
		if f.Do != "" {
			b.WriteString(" => " + f.Do)
		}
		b.WriteString("\n")
		if bad := f.Level == doctor.Warn || f.Level == doctor.Fail; bad != (f.Do != "") {
			t.Errorf("%s: %s: %q, and what to do: %q", c.Name, f.Level, f.Text, f.Do)
		}
		if strings.Contains(f.Text, "%!") || strings.Contains(f.Do, "%!") {
			t.Errorf("%s: a format is wrong: %+v", c.Name, f)
		}
	}
	return b.String()
}

// finds runs a check and wants each of these lines, as the beginning of one
// and, where it has a " … ", a part of its rest. More lines than that are wrong.
func finds(t *testing.T, c doctor.Check, want ...string) {
	t.Helper()
	got := seen(t, c)
	lines := strings.Split(strings.TrimSuffix(got, "\n"), "\n")
	if len(lines) != len(want) {
		t.Errorf("got\n%swant %d findings", got, len(want))
		return
	}
	for i, w := range want {
		begin, part, _ := strings.Cut(w, " … ")
		if !strings.HasPrefix(lines[i], begin) || !strings.Contains(lines[i][len(begin):], part) {
			t.Errorf("got\n%s\nwant\n%s", lines[i], w)
		}
	}
}
