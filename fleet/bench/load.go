package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/robot-platform/robot-ota/internal/benchtable"
)

// request is what a robot asks.
type request struct {
	method, path string
	body         []byte
	want         int // status of the answer
}

// result of a load.
type result struct {
	requests           int
	rate               float64 // a second
	p50, p99, max, cpu time.Duration
	resident           float64 // MiB
}

// server is who does what is measured.
const server = "ota-fleet"

// row is the result in the table: how long an answer took, the one in the middle.
func (r result) row(load string) benchtable.Row {
	return benchtable.Row{
		Case: fmt.Sprintf("%d robots, %s", r.requests, load), Who: server, Unit: "s", Values: []float64{r.p50.Seconds()},
		More: []benchtable.Figure{
			{Name: "p99", Value: r.p99.Seconds(), Unit: "s"}, {Name: "most", Value: r.max.Seconds(), Unit: "s"},
			{Name: "rate", Value: r.rate, Unit: "/s"}, {Name: "CPU", Value: r.cpu.Seconds(), Unit: "s"},
			{Name: "memory", Value: r.resident, Unit: "MiB"},
		},
	}
}

// check asks for the robot's release: there is none newer than what it runs.
func (p *plant) check(i int) request {
	_, runs := versions()
	return request{method: http.MethodGet, want: http.StatusNoContent,
		path: fmt.Sprintf("/v1/check?sku=standard&version=%s&robot_id=%s&companion=0.2.0", runs, p.o.robot(i))}
}

// minute is the report that a robot makes of that minute of its life: a status and
// the counts of its health.
func (p *plant) minute(seq uint64) func(int) request {
	return func(i int) request { return p.report(i, seq) }
}

func (p *plant) report(i int, seq uint64) request {
	id, at := p.o.robot(i), time.Now().UTC()
	_, runs := versions()
	type doc struct {
		Topic   string `json:"topic"`
		Payload any    `json:"payload"`
	}
	body, err := json.Marshal(map[string]any{"documents": []doc{
		{"ota/status", map[string]any{"robot_id": id, "sku": "standard", "state": "idle", "progress": 0, "message": "idle", "at": at,
			"running": map[string]any{"slot": "ota_0", "version": runs.String()}, "epoch": "bench", "seq": seq}},
		{"ota/health", map[string]any{"schema": 1, "robot_id": id, "sku": "standard", "firmware": runs.String(), "epoch": "bench", "seq": seq, "at": at,
			"seconds": 60 * float64(seq), "counters": map[string]any{"ok": seq, "odometry": 3000 * seq, "diagnostics": 60 * seq, "battery": 60 * seq}}},
	}})
	if err != nil {
		panic(err) // of nothing but numbers and text
	}
	return request{method: http.MethodPost, path: "/v1/report", body: body, want: http.StatusNoContent}
}

// load has every robot ask once.
func (p *plant) load(ctx context.Context, fresh bool, ask func(int) request) (result, error) {
	transport := &http.Transport{TLSClientConfig: p.tls, MaxConnsPerHost: p.o.connections, MaxIdleConnsPerHost: p.o.connections, DisableKeepAlives: fresh}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: time.Minute}
	took := make([]time.Duration, p.o.robots)
	before, err := p.used()
	if err != nil {
		return result{}, err
	}
	began := time.Now()
	g, ctx := errgroup.WithContext(ctx)
	var next atomic.Int64
	for range p.o.connections {
		g.Go(func() error {
			for i := int(next.Add(1)) - 1; i < p.o.robots; i = int(next.Add(1)) - 1 {
				start := time.Now()
				if err := p.one(ctx, client, i, ask(i)); err != nil {
					return err
				}
				took[i] = time.Since(start)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return result{}, err
	}
	whole := time.Since(began)
	after, err := p.used()
	if err != nil {
		return result{}, err
	}
	slices.Sort(took)
	at := func(q float64) time.Duration { return took[int(q*float64(len(took)-1))].Round(10 * time.Microsecond) }
	return result{requests: len(took), rate: float64(len(took)) / whole.Seconds(), p50: at(0.5), p99: at(0.99), max: at(1),
		cpu: (after.cpu - before.cpu).Round(10 * time.Millisecond), resident: after.resident}, nil
}

func (p *plant) one(ctx context.Context, c *http.Client, robot int, q request) error {
	req, err := http.NewRequestWithContext(ctx, q.method, p.url+q.path, bytes.NewReader(q.body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+p.token[robot])
	if len(q.body) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err == nil && resp.StatusCode != q.want {
		err = fmt.Errorf("%s %s: %s: %s", q.method, q.path, resp.Status, b)
	}
	return err
}

// usage is what the server has used.
type usage struct {
	cpu      time.Duration
	resident float64 // MiB
}

// used reads it from /proc/PID (proc(5): utime and stime are fields 14 and 15 of
// stat, in ticks of 10 ms).
func (p *plant) used() (usage, error) {
	var u usage
	proc := fmt.Sprintf("/proc/%d/", p.server.Process.Pid)
	stat, err := os.ReadFile(proc + "stat")
	if err != nil {
		return u, err
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	for _, f := range fields[11:13] {
		ticks, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return u, fmt.Errorf("%sstat: %w", proc, err)
		}
		u.cpu += time.Duration(ticks) * 10 * time.Millisecond
	}
	status, err := os.ReadFile(proc + "status")
	if err != nil {
		return u, err
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	if _, err := fmt.Sscanf(rest, "%f kB", &u.resident); err != nil {
		return u, fmt.Errorf("%sstatus: %w", proc, err)
	}
	u.resident /= 1024
	return u, nil
}
