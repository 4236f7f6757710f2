package dashboard

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/robot-platform/robot-ota/fleet/internal/store"
	"github.com/robot-platform/robot-ota/fleet/internal/store/storetest"
)

// chromium is the path of one, from $ROBOT_OTA_CHROMIUM or where it is installed.
func chromium(t testing.TB) string {
	t.Helper()
	if path := os.Getenv("ROBOT_OTA_CHROMIUM"); path != "" {
		return path
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skip("no Chromium here (apt-get install chromium): the dashboard is not tried in a browser")
	return ""
}

// screen is a real browser before a site.
type screen struct {
	*testing.T
	ctx context.Context
	url string
}

// look starts a browser. What it complains of fails the test.
func look(t *testing.T, s *site) *screen {
	t.Helper()
	path := chromium(t)
	server := httptest.NewTLSServer(s)
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.IgnoreCertErrors, chromedp.DisableGPU,
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("force-color-profile", "srgb"))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox)
	}
	all, stopAll := context.WithTimeout(t.Context(), 3*time.Minute)
	allocator, stopAllocator := chromedp.NewExecAllocator(all, options...)
	ctx, stop := chromedp.NewContext(allocator)
	b := &screen{T: t, ctx: ctx, url: server.URL}
	t.Cleanup(func() {
		_ = chromedp.Cancel(ctx) // its time may be over
		stop()
		stopAllocator()
		stopAll()
		server.CloseClientConnections()
		server.Close()
	})
	messages := chromedp.Console(ctx)
	b.do(chromedp.Navigate("about:blank"))
	var listening sync.WaitGroup
	listening.Go(func() {
		for m, err := range messages {
			if err != nil {
				return
			}
			// What the policy on content blocks is among it; that /nothing is not there is no fault.
			if (m.IsException() || m.Type == "error") && !strings.Contains(m.Text, "status of 404") {
				t.Errorf("the browser: %s %s", m.Text, m.URL)
			}
		}
	})
	t.Cleanup(func() { stop(); listening.Wait() })
	return b
}

func (b *screen) do(actions ...chromedp.Action[chromedp.Void]) {
	b.Helper()
	if err := chromedp.Do(b.ctx, actions...); err != nil {
		b.Fatal(err)
	}
}

// value runs an action that has a result.
func value[T any](b *screen, a chromedp.Action[T]) T {
	b.Helper()
	v, err := chromedp.Run(b.ctx, a)
	if err != nil {
		b.Fatal(err)
	}
	return v
}

func (b *screen) open(path string) {
	b.Helper()
	b.do(chromedp.Navigate(b.url+path), chromedp.WaitReady("main"))
}

// truth evaluates an expression.
func (b *screen) truth(expression string) bool {
	b.Helper()
	return value(b, chromedp.Evaluate[bool](expression))
}

// until waits for an expression to be true, from one page to the next as well. A
// page that is still being loaded may lose keys.
func (b *screen) until(expression string) {
	b.Helper()
	expression = `document.readyState === "complete" && (` + expression + `)`
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		ok, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](expression))
		if err == nil && ok {
			return
		}
		if b.ctx.Err() != nil || time.Now().After(deadline) {
			page, _ := chromedp.Run(b.ctx, chromedp.Evaluate[string](`location.href + " " + document.body.innerText`))
			b.Fatalf("never so: %s (%v)\n%s", expression, err, page)
		}
	}
}

// key presses keys.
func (b *screen) key(keys string) {
	b.Helper()
	b.do(chromedp.KeyEvent(keys))
}

// tabTo presses Tab until something has the focus.
func (b *screen) tabTo(selector string) {
	b.Helper()
	for range 80 {
		b.key(kb.Tab)
		if b.truth(fmt.Sprintf(`document.activeElement.matches(%q)`, selector)) {
			return
		}
	}
	b.Fatalf("Tab never reaches %s", selector)
}

// login is done with the keyboard; the name has the focus when the page opens.
func (b *screen) login(name string) {
	b.Helper()
	b.open("/login")
	b.until(`document.activeElement.id === "name"`)
	b.key(name)
	b.key(kb.Tab)
	b.key(secretWord)
	b.key(kb.Enter)
	b.until(`document.querySelector(".who") !== null`)
}

// width is that of a phone or a desk's screen.
func (b *screen) width(width, height int64) {
	b.Helper()
	if width < 500 {
		b.do(chromedp.EmulateViewport(width, height, chromedp.EmulateMobile, chromedp.EmulateTouch))
		return
	}
	b.do(chromedp.EmulateViewport(width, height))
}

// scheme is light or dark.
func (b *screen) scheme(name string) {
	b.Helper()
	if _, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}}}); err != nil {
		b.Fatal(err)
	}
}

// An operator halts a rollout without ever touching a mouse.
func TestHaltByKeyboard(t *testing.T) {
	s := open(t, storetest.SQLite(t))
	s.fill(t)
	b := look(t, s)
	b.login("ann")
	b.key(kb.Tab)
	if !b.truth(`document.activeElement.classList.contains("skip")`) {
		t.Error("the first Tab is not the way past the navigation")
	}
	b.tabTo(`#live a[href="/rollouts/o1"]`)
	b.key(kb.Enter)
	b.until(`location.pathname === "/rollouts/o1" && document.getElementById("verb-halt") !== null`)
	b.tabTo("#verb-halt")
	b.key(kb.Enter)
	b.until(`location.pathname === "/rollouts/o1/halt" && document.activeElement.id === "reason"`)

	// Without a reason nothing is sent.
	b.key(kb.Enter)
	if !b.truth(`location.pathname === "/rollouts/o1/halt" && !document.getElementById("reason").validity.valid`) || s.deeds.all() != "" {
		t.Error("a halt without a reason: " + s.deeds.all())
	}
	b.key("wheels lock")
	b.tabTo("button.grave")
	b.key(kb.Enter)
	b.until(`location.pathname === "/rollouts/o1"`)
	if got := s.deeds.all(); got != "halt o1 by ann: wheels lock" {
		t.Errorf("done: %s", got)
	}
}

// A page follows what happens, and leaves people where they are.
func TestLiveInABrowser(t *testing.T) {
	s := open(t, storetest.SQLite(t))
	s.fill(t)
	b := look(t, s)
	b.login("ann")
	b.open("/rollouts/o1")
	b.until(`document.getElementById("live-status").textContent.startsWith("Live")`)
	b.tabTo("#verb-pause")
	b.truth(`document.getElementById("evidence-2").open = window.stayed = true`)
	if b.truth(`document.body.textContent.includes("2 confirmed")`) {
		t.Fatal("it has happened already")
	}
	s.update(t, func(tx *store.Tx) error {
		return tx.SaveAssignment(t.Context(), store.Assignment{Rollout: "o1", Robot: "robot-006", Outcome: "confirmed", Offered: storetest.Noon(), Confirmed: storetest.Noon()})
	})
	b.until(`document.body.textContent.includes("2 confirmed")`)
	if !b.truth(`window.stayed && document.activeElement.id === "verb-pause" && document.getElementById("evidence-2").open`) {
		t.Error("the page was loaded anew, or focus or what was unfolded was lost")
	}
	// Logged out elsewhere: the page goes to the log-in.
	s.update(t, func(tx *store.Tx) error { return tx.RemoveUser(t.Context(), "ann") })
	b.until(`location.pathname === "/login"`)
}

// Without scripts pages are as good: they are read, reloaded, and acted on.
func TestWithoutScripts(t *testing.T) {
	s := open(t, storetest.SQLite(t))
	s.fill(t)
	b := look(t, s)
	if _, err := chromedp.Call(b.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}); err != nil {
		t.Fatal(err)
	}
	b.login("ann")
	b.open("/rollouts/o1")
	if !b.truth(`document.getElementById("live-status").textContent.includes("Reload") && document.body.textContent.includes("1 confirmed")`) {
		t.Error("the page does not say that it has to be loaded anew, or shows too little")
	}
	b.tabTo("#verb-pause")
	b.key(kb.Enter)
	b.until(`location.pathname === "/rollouts/o1/pause" && document.activeElement.id === "reason"`)
	b.key("lunch")
	b.key(kb.Enter)
	b.until(`location.pathname === "/rollouts/o1"`)
	if got := s.deeds.all(); got != "pause o1 by ann: lunch" {
		t.Errorf("done: %s", got)
	}
}

// everywhere are the pages of a fleet.
func everywhere() []string {
	return []string{"/", "/rollouts", "/rollouts/o1", "/rollouts/o1/halt", "/releases", "/releases/standard-0.2.1/rollback", "/robots", "/robots/robot-004", "/incidents", "/incidents/i1", "/nothing"}
}

// On a phone no page is wider than the screen, and what is touched is large enough.
func TestPhone(t *testing.T) {
	s := open(t, storetest.SQLite(t))
	s.fill(t)
	long := strings.Repeat("averylongwordwithoutanyplacetobreakit", 6)
	s.update(t, func(tx *store.Tx) error {
		r, err := tx.Robot(t.Context(), "robot-004")
		if err != nil {
			return err
		}
		r.State.Slot, r.State.Status = long, json.RawMessage(`{"`+long+`":["`+long+`"]}`)
		if err := tx.SetState(t.Context(), r.ID, r.State); err != nil {
			return err
		}
		_, err = tx.AddEvent(t.Context(), store.Event{Robot: "robot-004", ID: "e", Kind: long, Received: storetest.Noon(), Text: long, Body: r.State.Status})
		return err
	})
	b := look(t, s)
	b.width(360, 740)
	check := func(page string) {
		t.Helper()
		type measures struct {
			Scroll int      `json:"scroll"`
			Client int      `json:"client"`
			Header float64  `json:"header"`
			Small  []string `json:"small"`
		}
		got := value(b, chromedp.Evaluate[measures](`({scroll: document.documentElement.scrollWidth, client: document.documentElement.clientWidth,
			header: document.querySelector("header")?.getBoundingClientRect().height ?? 0,
			small: [...document.querySelectorAll("button, .button, input:not([type=hidden]), select")].filter(e => e.getBoundingClientRect().height < 40).map(e => e.outerHTML)})`))
		if got.Scroll > 360 || got.Client != 360 || got.Header > 160 || len(got.Small) > 0 {
			t.Errorf("%s: %d of %d pixels wide, the header %v high; too small to be touched: %q", page, got.Scroll, got.Client, got.Header, got.Small)
		}
	}
	b.open("/login")
	check("/login")
	b.login("ann")
	for _, page := range everywhere() {
		b.open(page)
		check(page)
	}
}

// Whatever can be used has a name, for those who do not see it; headings and
// landmarks are there.
func TestNamesForScreenReaders(t *testing.T) {
	s := open(t, storetest.SQLite(t))
	s.fill(t)
	b := look(t, s)
	b.login("ann")
	for _, page := range everywhere() {
		b.open(page)
		if !b.truth(`document.querySelectorAll("h1").length === 1 && document.documentElement.lang === "en" && document.querySelectorAll("main, nav").length >= 2`) {
			t.Errorf("%s lacks a heading or a landmark", page)
		}
		if !b.truth(`[...document.querySelectorAll("[id]")].every((e, i, all) => all.findIndex(o => o.id === e.id) === i)`) {
			t.Errorf("%s has an id twice", page)
		}
		tree, err := chromedp.Call(b.ctx, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range tree.Nodes {
			if n.Ignored || n.Role == nil {
				continue
			}
			switch role := string(n.Role.Value); role {
			case `"button"`, `"link"`, `"textbox"`, `"combobox"`, `"image"`, `"region"`, `"heading"`:
				if n.Name == nil || len(n.Name.Value) <= len(`""`) {
					t.Errorf("%s: a %s has no name", page, role)
				}
			}
		}
	}
}

// Light and dark follow the system, and both can be read: text has a contrast of
// 4.5 to 1 at least (WCAG 2.2, 1.4.3).
func TestContrast(t *testing.T) {
	s := open(t, storetest.SQLite(t))
	s.fill(t)
	b := look(t, s)
	b.login("ann")
	grounds := map[string]bool{}
	for _, scheme := range []string{"light", "dark"} {
		b.scheme(scheme)
		for _, page := range everywhere() {
			b.open(page)
			got := value(b, chromedp.Evaluate[readable](contrast))
			grounds[got.Ground] = true
			if len(got.Poor) > 0 {
				t.Errorf("%s, %s: %q", page, scheme, got.Poor)
			}
		}
	}
	if len(grounds) != 2 {
		t.Errorf("light and dark look the same: %v", grounds)
	}
}

// readable is what contrast finds.
type readable struct {
	Ground string   `json:"ground"`
	Poor   []string `json:"poor"`
}

// contrast finds text that is hard to read.
const contrast = `(() => {
	const rgb = c => c.match(/[\d.]+/g).map(Number);
	const light = c => { const [r, g, b] = rgb(c).map(v => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
	const ground = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor; if (rgb(c)[3] !== 0) return c; } return "rgb(255, 255, 255)"; };
	const poor = [];
	const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	while (texts.nextNode()) {
		const e = texts.currentNode.parentElement;
		if (!texts.currentNode.textContent.trim() || !e.checkVisibility() || e.closest("svg")) continue;
		const [a, b] = [light(getComputedStyle(e).color), light(ground(e))].sort((x, y) => y - x);
		const ratio = (a + 0.05) / (b + 0.05);
		if (ratio < 4.5) poor.push(texts.currentNode.textContent.trim() + " " + ratio.toFixed(2));
	}
	return {ground: getComputedStyle(document.body).backgroundColor, poor};
})()`

// Pictures for the documentation: make screenshots sets where they go.
func TestScreenshots(t *testing.T) {
	dir := os.Getenv("ROBOT_OTA_SCREENSHOTS")
	if dir == "" {
		dir = t.TempDir()
	}
	s := open(t, storetest.SQLite(t))
	s.fill(t)
	b := look(t, s)
	b.login("ann")
	for _, p := range []struct {
		name, page, scheme string
		width, height      int64
	}{
		{"dashboard-fleet", "/", "light", 1000, 1060},
		{"dashboard-rollout", "/rollouts/o1", "light", 1000, 860},
		{"dashboard-phone", "/", "dark", 390, 844},
		{"dashboard-halt", "/rollouts/o1/halt", "dark", 390, 560},
	} {
		b.width(p.width, p.height)
		b.scheme(p.scheme)
		b.open(p.page)
		if p.page != "/rollouts/o1/halt" {
			b.until(`document.getElementById("live-status").textContent.startsWith("Live")`)
		}
		png := value(b, chromedp.CaptureScreenshot())
		const least, most = 5_000, 150_000
		if len(png) < least || len(png) > most {
			t.Errorf("%s: %d bytes", p.name, len(png))
		}
		if err := os.WriteFile(filepath.Join(dir, p.name+".png"), png, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
