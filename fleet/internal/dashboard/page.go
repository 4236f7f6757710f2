package dashboard

import (
	"bytes"
	"fmt"
	"html/template"
	"net/http"
	"path"
	"strings"

	"github.com/robot-platform/robot-ota/fleet/internal/store"
)

// page is what a view shows.
type page struct {
	name  string // of its template
	Title string
	Data  any
	// Live says that the content is worth following.
	Live bool
}

// view makes a page for somebody who has logged in.
type view func(*http.Request, visit) (page, error)

// frame is what the templates are given.
type frame struct {
	page
	User     store.User // without a name: nobody has logged in
	Operator bool
	CSRF     string
	Path     string // of the live content; "": there is none
	Here     string // the part of the dashboard that it belongs to
}

// pages are the templates, each with the frame around it.
type pages map[string]*template.Template

func parsePages() (pages, error) {
	names, err := files.ReadDir("pages")
	if err != nil {
		return nil, err
	}
	out := make(pages)
	for _, n := range names {
		name := strings.TrimSuffix(n.Name(), ".html")
		if name == "frame" {
			continue
		}
		t, err := template.New("frame.html").Funcs(functions()).ParseFS(files, "pages/frame.html", path.Join("pages", n.Name()))
		if err != nil {
			return nil, fmt.Errorf("page %s: %w", name, err)
		}
		out[name] = t
	}
	return out, nil
}

// page shows a view to those who have logged in, and sends others to log in.
func (d *dashboard) page(of view) http.Handler {
	return d.answering(func(w http.ResponseWriter, r *http.Request, v visit) error {
		p, err := of(r, v)
		if err != nil {
			return err
		}
		d.render(w, http.StatusOK, v, p)
		return nil
	})
}

// render writes a page, whole or not at all.
func (d *dashboard) render(w http.ResponseWriter, status int, v visit, p page) {
	var out bytes.Buffer
	if err := d.pages[p.name].Execute(&out, d.frame(v, p)); err != nil {
		d.log.Error("dashboard", "page", p.name, "err", err)
		http.Error(w, "Something went wrong inside. The server's log says what.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(out.Bytes()) // who is gone needs no page
}

// content is the part of a page that is followed live.
func (d *dashboard) content(v visit, p page) ([]byte, error) {
	var out bytes.Buffer
	if err := d.pages[p.name].ExecuteTemplate(&out, "content", d.frame(v, p)); err != nil {
		return nil, fmt.Errorf("page %s: %w", p.name, err)
	}
	return out.Bytes(), nil
}

func (d *dashboard) frame(v visit, p page) frame {
	f := frame{page: p, User: v.user, Operator: v.user.Role == store.Operator, CSRF: v.session.CSRF}
	if v.url != nil {
		first, _, _ := strings.Cut(strings.TrimPrefix(v.url.Path, "/live")[1:], "/")
		f.Here = "/" + first
		if p.Live {
			f.Path = "/live" + v.url.RequestURI()
		}
	}
	return f
}
