package store

import (
	"database/sql"
	"strings"
	"testing"
	"time"
)

// What is asked for with every message or request of a robot finds its rows by
// an index, however many robots there are.
func TestQueriesUseIndexes(t *testing.T) {
	s, err := Open(t.Context(), Options{Dir: t.TempDir(), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx := t.Context()
	for name, ask := range map[string]func() error{
		"token":        func() error { _, err := s.RobotWithToken(ctx, "x"); return err },
		"certificate":  func() error { _, err := s.RobotWithCertificate(ctx, "x"); return err },
		"robot":        func() error { _, err := s.Robot(ctx, "x"); return err },
		"offered":      func() error { _, err := s.Offered(ctx, "basic", "x"); return err },
		"artifact":     func() error { _, err := s.Artifact(ctx, strings.Repeat("0", 64)); return err },
		"patch":        func() error { _, err := s.PatchTo(ctx, "x", []string{"y"}); return err },
		"events":       func() error { _, err := s.Events(ctx, "x", time.Time{}, 10); return err },
		"update":       func() error { _, err := s.UpdateOf(ctx, "x", "j"); return err },
		"assignment":   func() error { _, err := s.Assignment(ctx, "o", "x"); return err },
		"assignments":  func() error { _, err := s.AssignmentsOf(ctx, "x"); return err },
		"ledger":       func() error { _, err := s.Ledger(ctx, "x"); return err },
		"unsent":       func() error { _, err := s.Due(ctx, time.Time{}, time.Minute, 10); return err },
		"command":      func() error { _, err := s.Command(ctx, "c"); return err },
		"commands":     func() error { _, err := s.Commands(ctx, CommandQuery{Robot: "x"}); return err },
		"health":       func() error { return s.EachHour(ctx, HealthQuery{Robot: "x"}, func(Hour) error { return nil }) },
		"downloads":    func() error { _, err := s.DownloadsOn(ctx, "x", time.Now()); return err },
		"session":      func() error { _, _, err := s.Session(ctx, "x", time.Now()); return err },
		"a page":       func() error { _, err := s.Robots(ctx, RobotQuery{SKU: "basic", After: "x", Limit: 10}); return err },
		"robots of it": func() error { return s.EachAssignment(ctx, "o", func(Assignment) error { return nil }) },
	} {
		p := s.q.(*prepared)
		p.known = map[string]*sql.Stmt{}
		_ = ask() // there is nothing
		if len(p.known) != 1 {
			t.Errorf("%s: %d queries", name, len(p.known))
		}
		for query := range p.known {
			args := make([]any, strings.Count(query, "$")+1)
			for i := range args {
				args[i] = sql.NullString{}
			}
			rows, err := s.db.durable.QueryContext(ctx, "EXPLAIN QUERY PLAN "+query, args...)
			if err != nil {
				t.Fatal(err)
			}
			for rows.Next() {
				var id, parent, unused int
				var detail string
				if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
					t.Fatal(err)
				}
				if strings.HasPrefix(detail, "SCAN") && !strings.Contains(detail, "USING INDEX") && !strings.Contains(detail, "USING COVERING INDEX") {
					t.Errorf("%s: %s in\n%s", name, detail, query)
				}
			}
			if err := rows.Err(); err != nil {
				t.Fatal(err)
			}
			rows.Close()
		}
	}
}
