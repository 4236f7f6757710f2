package manual

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

func TestPages(t *testing.T) {
	root := &cobra.Command{Use: "prog", Short: "Does things"}
	sub := &cobra.Command{Use: "sub", Short: "Does one", RunE: func(*cobra.Command, []string) error { return nil }}
	root.AddCommand(sub)
	dir := t.TempDir()
	extra := func(dir string, date time.Time) error {
		return File(dir, "prog.yaml", "its configuration", []byte("# it's\n.TH not a macro\nkey: a\\b\n"), date)
	}
	c := Command(func() *cobra.Command { return root }, extra)
	c.SetArgs([]string{dir, "--date", "2026-01-02"})
	if err := c.Execute(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]string{
		"prog.1":      {`"Jan 2026"`, "prog - Does things"},
		"prog-sub.1":  {"prog-sub - Does one"},
		"prog.yaml.5": {`.TH "PROG.YAML" 5 "2026-01-02"`, "\\&# it\\(aqs\n\\&.TH not a macro\n\\&key: a\\eb\n"},
	} {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Error(err)
		}
		for _, w := range want {
			if !strings.Contains(strings.ReplaceAll(string(got), `\-`, "-"), w) {
				t.Errorf("%s: no %q in\n%s", name, w, got)
			}
		}
	}
	c.SetArgs([]string{dir, "--date", "today"})
	if err := c.Execute(); err == nil {
		t.Error("took a date that is none")
	}
	if err := File(dir, "x", "y", nil, time.Time{}); err == nil {
		t.Error("took an empty example")
	}
}
