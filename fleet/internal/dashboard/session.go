package dashboard

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/robot-platform/robot-ota/fleet/internal/dashboard/password"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
)

// cookie is what the browser has. Its prefix keeps it on this host and on HTTPS.
const cookie = "__Host-ota-fleet"

// seeEvery is how exactly the use of a session is noted.
const seeEvery = time.Minute

// visit is a request of somebody who has logged in.
type visit struct {
	id      string
	session store.Session
	user    store.User
	url     *url.URL
}

// errStranger says that somebody has not logged in, or not lately.
var errStranger = errors.New("not logged in")

// answering does something for somebody who has logged in. What changes
// something carries the session's token.
func (d *dashboard) answering(f func(http.ResponseWriter, *http.Request, visit) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v, err := d.who(r)
		if errors.Is(err, errStranger) {
			d.sendToLogin(w, r)
			return
		}
		if err == nil && r.Method == http.MethodPost {
			err = fromForm(r, v)
		}
		if err == nil {
			err = d.seen(r.Context(), v)
		}
		if err == nil {
			err = f(w, r, v)
		}
		if err != nil {
			d.fail(w, r, v, err)
		}
	})
}

// who finds the session of a request.
func (d *dashboard) who(r *http.Request) (visit, error) {
	c, err := r.Cookie(cookie)
	if err != nil {
		return visit{}, errStranger
	}
	s, u, err := d.store.Session(r.Context(), c.Value, d.cfg.Now())
	if errors.Is(err, store.ErrNotFound) {
		return visit{}, errStranger
	}
	return visit{id: c.Value, session: s, user: u, url: r.URL}, err
}

// seen puts the end of a session off.
func (d *dashboard) seen(ctx context.Context, v visit) error {
	now := d.cfg.Now()
	if now.Sub(v.session.Seen) < seeEvery {
		return nil
	}
	return d.store.Note(ctx, "session", func(tx *store.Tx) error {
		return tx.SeeSession(ctx, v.id, now, d.expiry(now, v.session.Created))
	})
}

// expiry is when a session ends that is not used any more.
func (d *dashboard) expiry(now, created time.Time) time.Time {
	idle, life := now.Add(d.cfg.Idle), created.Add(d.cfg.Life)
	if life.Before(idle) {
		return life
	}
	return idle
}

// fromForm checks that a form was one of this session's pages.
func fromForm(r *http.Request, v visit) error {
	if err := r.ParseForm(); err != nil {
		return faultf(http.StatusBadRequest, "The form could not be read.")
	}
	if subtle.ConstantTimeCompare([]byte(r.PostForm.Get("csrf")), []byte(v.session.CSRF)) != 1 {
		return faultf(http.StatusForbidden, "The form is not of this session. Go back, load the page again, and repeat it. Nothing was done.")
	}
	return nil
}

func (d *dashboard) sendToLogin(w http.ResponseWriter, r *http.Request) {
	to := "/login"
	if r.Method == http.MethodGet && r.URL.Path != "/" && !strings.HasPrefix(r.URL.Path, "/live/") {
		to += "?next=" + url.QueryEscape(r.URL.RequestURI())
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// inside is where to go after the log-in: a path of this server, or its first page.
func inside(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.IsAbs() || u.Host != "" || !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") || strings.ContainsAny(next, "\\\r\n\t") {
		return "/"
	}
	return next
}

// loginData is what the log-in page shows.
type loginData struct{ Next, Name, Wrong string }

func (d *dashboard) loginPage(w http.ResponseWriter, r *http.Request) error {
	d.render(w, http.StatusOK, visit{}, page{name: "login", Title: "Log in", Data: loginData{Next: inside(r.URL.Query().Get("next"))}})
	return nil
}

func (d *dashboard) login(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return faultf(http.StatusBadRequest, "The form could not be read.")
	}
	name, next := r.PostForm.Get("name"), inside(r.PostForm.Get("next"))
	user, err := d.admit(r, name, r.PostForm.Get("password"))
	var no *fault
	if errors.As(err, &no) {
		d.log.Warn("log-in refused", "name", clip(name, 64), "from", d.cfg.Proxies.Of(r), "why", no.text)
		d.render(w, no.status, visit{}, page{name: "login", Title: "Log in", Data: loginData{Next: next, Name: clip(name, 64), Wrong: no.text}})
		return nil
	}
	if err != nil {
		return err
	}
	if err := d.begin(w, r, user); err != nil {
		return err
	}
	d.log.Info("logged in", "name", user.Name, "role", user.Role, "from", d.cfg.Proxies.Of(r))
	http.Redirect(w, r, next, http.StatusSeeOther)
	return nil
}

// admit checks a name and a password. Whether there is such a name shows
// neither in the answer nor in the time that it takes.
func (d *dashboard) admit(r *http.Request, name, given string) (store.User, error) {
	leave, err := d.doors.enter(r, name)
	if err != nil {
		return store.User{}, err
	}
	defer leave()
	wrong := faultf(http.StatusUnauthorized, "Name or password is wrong.")
	user, err := d.store.User(r.Context(), name)
	hash := user.Password
	switch {
	case errors.Is(err, store.ErrNotFound):
		hash = d.doors.nobody
	case err != nil:
		return store.User{}, err
	}
	switch perr := password.Verify(hash, given); {
	case errors.Is(perr, password.ErrWrong) || err != nil || !user.Disabled.IsZero():
		return store.User{}, wrong
	case perr != nil:
		return store.User{}, perr
	}
	d.doors.forget(r, name)
	return user, nil
}

// begin starts a session, in place of one that the browser had.
func (d *dashboard) begin(w http.ResponseWriter, r *http.Request, u store.User) error {
	now, id, ctx := d.cfg.Now(), secret(), r.Context()
	s := store.Session{User: u.Name, CSRF: secret(), Created: now, Seen: now, Expires: d.expiry(now, now)}
	if err := d.store.Update(ctx, "log in", func(tx *store.Tx) error {
		if old, err := r.Cookie(cookie); err == nil {
			if err := tx.EndSession(ctx, old.Value); err != nil {
				return err
			}
		}
		return tx.AddSession(ctx, id, s)
	}); err != nil {
		return err
	}
	http.SetCookie(w, &http.Cookie{Name: cookie, Value: id, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
	return nil
}

func (d *dashboard) logout(w http.ResponseWriter, r *http.Request, v visit) error {
	ctx := r.Context()
	if err := d.store.Update(ctx, "log out", func(tx *store.Tx) error { return tx.EndSession(ctx, v.id) }); err != nil {
		return err
	}
	http.SetCookie(w, &http.Cookie{Name: cookie, Path: "/", MaxAge: -1, Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
	http.Redirect(w, r, "/login", http.StatusSeeOther)
	return nil
}

// secret is 256 random bits.
func secret() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // it never fails
	return base64.RawURLEncoding.EncodeToString(b)
}

// clip bounds what is logged and shown of a name.
func clip(s string, most int) string { return strings.ToValidUTF8(s[:min(len(s), most)], "\uFFFD") }
