package hawkbit

import (
	"bytes"
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/httpguard"
)

// hawk is a server that answers as hawkBit 0.9.0 was seen to.
type hawk struct {
	mu      sync.Mutex
	host    string // as it names itself
	sleep   string
	token   string // Authorization that it wants; "": any
	ask     bool   // for attributes
	attrs   map[string]string
	actions []*assignment // the one that is worked at first
	file    []byte        // of every artifact

	log      []string // requests, in order
	at       []time.Time
	down     bool   // nothing answers
	fail     int    // status of the next answers, while > 0
	wait     string // Retry-After that goes with it
	odd      string // an answer of its own to GET of the root
	etags    int    // answers of 304
	puts     []configData
	consents []string
	ranges   []string
	cut      int // how many downloads break off half-way
}

// assignment is an action of the server.
type assignment struct {
	id          string
	version     string // of the software module
	kind        handling
	window      string // maintenanceWindow
	only        bool   // download only
	files       []string
	confirm     bool // waits for consent
	canceling   bool
	inactive    bool // closed
	outcome     string
	statuses    []feedback
	quota       int  // of entries; 0: 1000
	neverStops  bool // offered although it is closed
	plain       bool // its link has no ?c=
	retrievals  int
	cancelTaken []feedback
}

const base = "/DEFAULT/controller/v1/r1"

func newHawk(actions ...*assignment) *hawk {
	return &hawk{host: "https://hawk.example", sleep: "00:05:00", actions: actions, file: bytes.Repeat([]byte("image"), 4000)}
}

// Do is the way over the wire, without one.
func (h *hawk) Do(req *http.Request) (*http.Response, error) {
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	h.mu.Lock()
	down := h.down
	h.mu.Unlock()
	if down {
		h.note(req)
		return nil, &httpguard.UnreachableError{Host: req.URL.Host, Cause: fmt.Errorf("down")}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	resp := w.Result()
	resp.Request = req
	return resp, nil
}

func (h *hawk) Allow(u *url.URL) error {
	if u.Scheme != "https" || !strings.HasSuffix(u.Hostname(), ".example") && !strings.HasPrefix(h.host, "https://"+u.Host) {
		return &httpguard.RefusedError{Host: u.Host, Reason: "not allowed"}
	}
	return nil
}

func (h *hawk) note(r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.log = append(h.log, r.Method+" "+strings.TrimPrefix(r.URL.RequestURI(), base))
	h.at = append(h.at, time.Now())
}

func (h *hawk) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.note(r)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.token != "" && r.Header.Get("Authorization") != h.token {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if h.fail > 0 {
		if h.wait != "" {
			w.Header().Set("Retry-After", h.wait)
		}
		w.WriteHeader(h.fail)
		return
	}
	rest, ok := strings.CutPrefix(r.URL.Path, base)
	parts := strings.Split(strings.TrimPrefix(rest, "/"), "/")
	switch {
	case !ok:
		w.WriteHeader(http.StatusNotFound)
	case r.Method == http.MethodGet && rest == "":
		h.root(w, r)
	case r.Method == http.MethodPut && rest == "/configData":
		var c configData
		h.decode(w, r, &c)
		h.puts, h.attrs, h.ask = append(h.puts, c), c.Data, false
	case parts[0] == "softwaremodules":
		h.download(w, r)
	case r.Method == http.MethodGet && len(parts) == 2:
		h.document(w, parts[0], parts[1])
	case r.Method == http.MethodPost && len(parts) == 3 && parts[2] == "feedback":
		h.feedback(w, r, parts[0], parts[1])
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func (h *hawk) decode(w http.ResponseWriter, r *http.Request, into any) bool {
	if r.Header.Get("Content-Type") != "application/json" || json.NewDecoder(r.Body).Decode(into) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return false
	}
	return true
}

// active is the action that is worked at.
func (h *hawk) active() *assignment {
	for _, a := range h.actions {
		if !a.inactive || a.neverStops {
			return a
		}
	}
	return nil
}

func (h *hawk) find(id string) *assignment {
	i := slices.IndexFunc(h.actions, func(a *assignment) bool { return a.id == id })
	if i < 0 {
		return nil
	}
	return h.actions[i]
}

func (h *hawk) root(w http.ResponseWriter, r *http.Request) {
	if h.odd != "" {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, h.odd)
		return
	}
	links := map[string]any{}
	if a := h.active(); a != nil {
		rel, query := relDeployment, "?c="+strconv.Itoa(len(a.kind)*100+len(a.window))
		switch {
		case a.confirm:
			rel = relConfirmation
		case a.canceling:
			rel, query = relCancel, ""
		case a.plain:
			query = ""
		}
		links[rel] = map[string]string{"href": h.host + base + "/" + rel + "/" + a.id + query}
	}
	if h.ask {
		links[relConfig] = map[string]string{"href": h.host + base + "/configData"}
	}
	doc := map[string]any{"config": map[string]any{"polling": map[string]string{"sleep": h.sleep}}}
	if len(links) > 0 { // else there are no _links at all
		doc["_links"] = links
	}
	body, _ := json.Marshal(doc)
	sum := sha1.Sum(body)
	etag := `"0` + hex.EncodeToString(sum[:]) + `"`
	w.Header().Set("ETag", etag)
	if r.Header.Get("If-None-Match") == etag {
		h.etags++
		w.WriteHeader(http.StatusNotModified)
		return
	}
	w.Header().Set("Content-Type", "application/hal+json")
	_, _ = w.Write(body)
}

func (h *hawk) document(w http.ResponseWriter, rel, id string) {
	a := h.find(id)
	var doc any
	switch {
	case a == nil, rel == relDeployment && (a.canceling || a.confirm), rel == relCancel && !a.canceling:
		w.WriteHeader(http.StatusNotFound)
		return
	case rel == relCancel:
		doc = map[string]any{"id": id, "cancelAction": map[string]string{"stopId": id}}
	default: // 200 after success as well
		a.retrievals++
		doc = h.deployment(a)
	}
	w.Header().Set("Content-Type", "application/hal+json")
	_ = json.NewEncoder(w).Encode(doc)
}

func (h *hawk) deployment(a *assignment) map[string]any {
	files := a.files
	if files == nil {
		files = []string{"robot-platform.signed"}
	}
	var artifacts []any
	for _, f := range files {
		artifacts = append(artifacts, map[string]any{
			"filename": f, "size": len(h.file), "hashes": map[string]string{"sha256": digestOf(h.file), "sha1": "x", "md5": "y"},
			"_links": map[string]any{
				"download":      map[string]string{"href": h.host + base + "/softwaremodules/7/artifacts/" + f},
				"md5sum":        map[string]string{"href": h.host + base + "/softwaremodules/7/artifacts/" + f + ".MD5SUM"},
				"download-http": map[string]string{"href": "http://hawk.example/x"},
			},
		})
	}
	kind := a.kind
	if kind == "" {
		kind = attempt
	}
	install := kind
	if a.window == windowShut || a.only {
		install = skip
	}
	d := map[string]any{"download": kind, "update": install, "chunks": []any{map[string]any{
		"part": "firmware", "version": a.version, "name": "robot-platform", "artifacts": artifacts,
		"metadata": []any{map[string]string{"key": "k", "value": "v"}},
	}}}
	if a.window != "" {
		d["maintenanceWindow"] = a.window
	}
	return map[string]any{"id": a.id, "deployment": d, "actionHistory": map[string]any{"status": "RUNNING"}}
}

func (h *hawk) feedback(w http.ResponseWriter, r *http.Request, rel, id string) {
	a := h.find(id)
	if rel == relConfirmation {
		var c consent
		if a == nil || !a.confirm || !h.decode(w, r, &c) {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		h.consents = append(h.consents, id+" "+c.Confirmation)
		a.confirm = c.Confirmation != "confirmed"
		return
	}
	var f feedback
	if !h.decode(w, r, &f) {
		return
	}
	s := f.Status
	switch {
	case a == nil:
		w.WriteHeader(http.StatusNotFound) // another robot's
	case a.inactive:
		w.WriteHeader(http.StatusGone)
	case !slices.Contains([]execution{closed, proceeding, "canceled", scheduled, rejected, "resumed", downloaded, "download"}, s.Execution),
		!slices.Contains([]finished{success, failure, none}, s.Result.Finished), f.Time == 0:
		w.WriteHeader(http.StatusBadRequest)
	case len(s.Details) > 50:
		w.WriteHeader(http.StatusForbidden)
	case rel == relCancel:
		a.cancelTaken = append(a.cancelTaken, f)
		a.canceling = false
		if s.Execution == closed {
			a.inactive, a.outcome = true, "canceled"
		}
	case s.Execution != closed && len(a.statuses) >= a.limit():
		w.WriteHeader(http.StatusForbidden)
	default:
		a.take(f)
		h.ask = h.ask || a.inactive && a.outcome == "finished" // attributes are asked for after an installation
	}
}

func (a *assignment) limit() int {
	if a.quota == 0 {
		return 1000
	}
	return a.quota
}

func (a *assignment) take(f feedback) {
	a.statuses = append(a.statuses, f)
	switch {
	case f.Status.Execution == closed && f.Status.Result.Finished == failure:
		a.inactive, a.outcome = true, "error"
	case f.Status.Execution == closed:
		a.inactive, a.outcome = true, "finished"
	case f.Status.Execution == downloaded && a.only:
		a.inactive, a.outcome = true, "downloaded"
	}
}

// download answers as hawkBit's does: 200 with a Content-Range, the SHA-1
// without quotes as ETag, 416 past the end.
func (h *hawk) download(w http.ResponseWriter, r *http.Request) {
	h.ranges = append(h.ranges, r.Header.Get("Range"))
	n := len(h.file)
	sum := sha1.Sum(h.file)
	etag := hex.EncodeToString(sum[:])
	w.Header().Set("ETag", etag)
	from, code := 0, http.StatusOK
	if s, ok := strings.CutPrefix(r.Header.Get("Range"), "bytes="); ok && r.Header.Get("If-Range") == etag {
		from, _ = strconv.Atoi(strings.TrimSuffix(s, "-"))
		code = http.StatusPartialContent
	}
	if from >= n {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes */%d", n))
		w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
		return
	}
	w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, n-1, n))
	w.Header().Set("Content-Length", strconv.Itoa(n-from))
	w.WriteHeader(code)
	body := h.file[from:]
	if h.cut > 0 {
		h.cut--
		_, _ = w.Write(body[:len(body)/2])
		panic(http.ErrAbortHandler)
	}
	_, _ = w.Write(body)
}

// do changes or reads the server while it lives.
func (h *hawk) do(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f()
}

// count is how many requests began so.
func (h *hawk) count(prefix string) (n int) {
	h.do(func() {
		for _, l := range h.log {
			if strings.HasPrefix(l, prefix) {
				n++
			}
		}
	})
	return n
}

// heard is what was told of an action: "proceeding/none", …
func (h *hawk) heard(a *assignment) (out []string) {
	h.do(func() {
		for _, f := range a.statuses {
			out = append(out, string(f.Status.Execution)+"/"+string(f.Status.Result.Finished))
		}
	})
	return out
}
