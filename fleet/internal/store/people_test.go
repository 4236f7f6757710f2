package store_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/fleet/internal/store"
	"github.com/robot-platform/robot-ota/fleet/internal/store/storetest"
)

func TestIncidents(t *testing.T) {
	storetest.Each(t, func(t *testing.T, env storetest.Env) {
		s := env.Open(t)
		i := store.Incident{ID: "i1", Kind: "halt", Title: "0.2.1 bites", Version: v("0.2.1"), SKUs: []string{"basic"}, OpenedBy: "ann", Reason: "it bites"}
		for _, fresh := range []bool{true, false} {
			update(t, s, func(tx *store.Tx) error {
				got, err := tx.OpenIncident(t.Context(), i)
				if err == nil && got != fresh {
					t.Errorf("it is new: %v", got)
				}
				return err
			})
			env.Clock.Add(time.Minute)
		}
		i.Opened = storetest.Noon()
		same(t, "incident", must(s.Incident(t.Context(), "i1")), i)
		var want []store.Entry
		for _, text := range []string{"halted", "rolled back"} {
			e := store.Entry{Incident: "i1", By: "ann", Text: text, Data: json.RawMessage(`{"robots":2}`)}
			update(t, s, func(tx *store.Tx) (err error) { e, err = tx.AddEntry(t.Context(), e); return err })
			want = append(want, e)
		}
		same(t, "time line", must(s.Entries(t.Context(), "i1")), want)
		if want[1].Number != 2 || !want[1].At.Equal(env.Clock.Now()) {
			t.Errorf("got %+v", want[1])
		}
		same(t, "open", must(s.Incidents(t.Context(), true)), []store.Incident{i})
		update(t, s, func(tx *store.Tx) error { return tx.SetIncidentData(t.Context(), "i1", json.RawMessage(`{"k":1}`)) })
		closing := func(id string) error {
			return s.Update(t.Context(), "close", func(tx *store.Tx) error { return tx.CloseIncident(t.Context(), id, "bob") })
		}
		is(t, "closed", closing("i1"), nil)
		is(t, "closed twice", closing("i1"), store.ErrConflict)
		is(t, "none", closing("i2"), store.ErrNotFound)
		i.Closed, i.ClosedBy, i.Data = env.Clock.Now(), "bob", json.RawMessage(`{"k":1}`)
		same(t, "all", must(s.Incidents(t.Context(), false)), []store.Incident{i})
		same(t, "open", len(must(s.Incidents(t.Context(), true))), 0)
	})
}

func TestUsersAndSessions(t *testing.T) {
	storetest.Each(t, func(t *testing.T, env storetest.Env) {
		s := env.Open(t)
		ann := store.User{Name: "ann", Role: store.Operator, Password: "hash"}
		saveUser := func(u store.User) {
			update(t, s, func(tx *store.Tx) error { return tx.SaveUser(t.Context(), u) })
		}
		saveUser(ann)
		ann.Added = storetest.Noon()
		same(t, "user", must(s.User(t.Context(), "ann")), ann)
		if must(s.User(t.Context(), "ann")).Password != "hash" {
			t.Error("no password")
		}
		login := func(id string) store.Session {
			session := store.Session{User: "ann", CSRF: "c", Created: env.Clock.Now(), Seen: env.Clock.Now(), Expires: env.Clock.Now().Add(time.Hour)}
			update(t, s, func(tx *store.Tx) error { return tx.AddSession(t.Context(), id, session) })
			return session
		}
		good := func(id string) bool {
			_, u, err := s.Session(t.Context(), id, env.Clock.Now())
			if err != nil {
				is(t, id, err, store.ErrNotFound)
			}
			return u.Name == "ann"
		}
		want := login("s1")
		got, _, err := s.Session(t.Context(), "s1", env.Clock.Now())
		if err != nil {
			t.Fatal(err)
		}
		same(t, "session", got, want)
		if good("s2") || good("") {
			t.Error("a session that is none")
		}
		env.Clock.Add(59 * time.Minute)
		update(t, s, func(tx *store.Tx) error {
			return tx.SeeSession(t.Context(), "s1", env.Clock.Now(), env.Clock.Now().Add(time.Hour))
		})
		env.Clock.Add(59 * time.Minute)
		if !good("s1") {
			t.Error("it is used, and ends")
		}
		env.Clock.Add(time.Minute)
		if good("s1") {
			t.Error("it is not used, and goes on")
		}
		login("s3")
		update(t, s, func(tx *store.Tx) error { return tx.EndSession(t.Context(), "s3") })
		if good("s3") {
			t.Error("logged out")
		}
		login("s4")
		ann.Role = store.Viewer
		saveUser(ann)
		if good("s4") {
			t.Error("an operator's session of one who is a viewer")
		}
		ann.Disabled = env.Clock.Now()
		saveUser(ann)
		login("s5")
		if good("s5") {
			t.Error("a session of one who is disabled")
		}
		update(t, s, func(tx *store.Tx) error { return tx.RemoveUser(t.Context(), "ann") })
		same(t, "users", len(must(s.Users(t.Context()))), 0)
	})
}

func TestDownloads(t *testing.T) {
	storetest.Each(t, func(t *testing.T, env storetest.Env) {
		s := env.Open(t)
		const size, limit = 1000, 3
		ask := func(robot, sum string, resumes bool) (ok bool) {
			err := s.Note(t.Context(), "download", func(tx *store.Tx) (err error) {
				ok, err = tx.CountDownload(t.Context(), store.Download{Taker: robot, SHA256: sum, Size: size, Resumes: resumes}, limit)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			return ok
		}
		sent := func(robot, sum string, n int64) {
			if err := s.Note(t.Context(), "bytes", func(tx *store.Tx) error { return tx.CountBytes(t.Context(), robot, sum, n) }); err != nil {
				t.Fatal(err)
			}
		}
		had := func(robot string) int { return must(s.DownloadsOn(t.Context(), robot, env.Clock.Now())) }

		// One that is cut nine times and resumed counts once.
		if !ask("r1", "a", false) {
			t.Error("refused")
		}
		for range 9 {
			sent("r1", "a", size/10)
			if !ask("r1", "a", true) {
				t.Error("a resumed one is refused")
			}
		}
		if had("r1") != 1 {
			t.Errorf("it counts %d times", had("r1"))
		}
		// Whoever always "resumes" is counted in the end.
		for range 100 {
			if !ask("r1", "a", true) {
				break
			}
			sent("r1", "a", size-1)
		}
		if had("r1") != limit {
			t.Errorf("counted %d", had("r1"))
		}
		if ask("r1", "a", false) || ask("r1", "b", false) || ask("r1", "b", true) {
			t.Error("more than the limit")
		}
		// Resuming what was never begun is a beginning.
		if !ask("r2", "b", true) || had("r2") != 1 {
			t.Errorf("counted %d", had("r2"))
		}
		// The next day begins anew, and what was begun the day before goes on.
		ask("r3", "c", false)
		sent("r3", "c", 10)
		env.Clock.Add(12 * time.Hour)
		if had("r3") != 0 || !ask("r3", "c", true) || had("r3") != 0 {
			t.Errorf("over midnight it counts %d times", had("r3"))
		}
		if !ask("r1", "a", false) {
			t.Error("refused on the next day")
		}
		env.Clock.Add(48 * time.Hour)
		if !ask("r3", "c", true) || had("r3") != 1 {
			t.Errorf("days later it counts %d times", had("r3"))
		}
	})
}
