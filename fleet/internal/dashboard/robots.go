package dashboard

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/robot-platform/robot-ota/fleet/internal/figures"
	"github.com/robot-platform/robot-ota/fleet/internal/release"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
)

// robotsData is a part of the list of robots.
type robotsData struct {
	SKU, ID string
	SKUs    []string
	Robots  []robotRow
	Missing bool   // there is no robot with that id
	More    string // address of the next part; "": this is the last
}

// robotRow is a robot in the list.
type robotRow struct {
	store.Robot
	Presence string
}

// robotsAtOnce is how many robots a page lists.
const robotsAtOnce = 50

func (d *dashboard) robots(r *http.Request, _ visit) (page, error) {
	q := r.URL.Query()
	out := robotsData{ID: clip(q.Get("id"), 64), SKUs: release.SKUs()}
	if sku := q.Get("sku"); release.Known(sku) {
		out.SKU = sku
	}
	all, err := d.listed(r.Context(), out, clip(q.Get("after"), 64))
	if err != nil {
		return page{}, err
	}
	out.Missing = out.ID != "" && len(all) == 0
	if len(all) > robotsAtOnce {
		all = all[:robotsAtOnce]
		out.More = "/robots?" + url.Values{"sku": {out.SKU}, "after": {all[len(all)-1].ID}}.Encode()
	}
	for _, robot := range all {
		out.Robots = append(out.Robots, robotRow{robot, presence(robot.State, d.cfg.Now())})
	}
	return page{name: "robots", Title: "Robots", Data: out, Live: true}, nil
}

// listed is the one robot that was asked for, or those after another and one more.
func (d *dashboard) listed(ctx context.Context, q robotsData, after string) ([]store.Robot, error) {
	if q.ID == "" {
		return d.store.Robots(ctx, store.RobotQuery{SKU: q.SKU, After: after, Limit: robotsAtOnce + 1})
	}
	one, err := d.store.Robot(ctx, q.ID)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	return []store.Robot{one}, err
}

// presence says whether a robot is heard.
func presence(s store.RobotState, now time.Time) string {
	switch {
	case s.Received.IsZero():
		return "never heard"
	case now.Sub(s.Received) > figures.SilentAfter:
		return "silent"
	case s.Online:
		return "online"
	}
	return "heard"
}

// robotData is what a robot's page shows.
type robotData struct {
	store.Robot
	Presence    string
	Assignments []store.Assignment
	Updates     []store.Update
	Events      []store.Event
	Commands    []store.Command
	More        string // address of older events; "": there are none
}

// How much of a robot's history a page shows.
const (
	shownEvents  = 50
	shownUpdates = 50
)

func (d *dashboard) robot(r *http.Request, _ visit) (page, error) {
	ctx, id := r.Context(), r.PathValue("id")
	var out robotData
	var until time.Time
	if us, err := strconv.ParseInt(r.URL.Query().Get("before"), 10, 64); err == nil && us > 0 {
		until = time.UnixMicro(us)
	}
	err := d.store.View(ctx, func(s *store.Reader) (err error) {
		if out.Robot, err = s.Robot(ctx, id); err != nil {
			return err
		}
		if out.Assignments, err = s.AssignmentsOf(ctx, id); err != nil {
			return err
		}
		if out.Commands, err = s.Commands(ctx, store.CommandQuery{Robot: id}); err != nil {
			return err
		}
		slices.Reverse(out.Commands)
		out.Commands = out.Commands[:min(len(out.Commands), shownUpdates)]
		if err := s.EachUpdate(ctx, id, time.Time{}, func(u store.Update) error { out.Updates = append(out.Updates, u); return nil }); err != nil {
			return err
		}
		slices.Reverse(out.Updates)
		out.Updates = out.Updates[:min(len(out.Updates), shownUpdates)]
		out.Events, err = s.Events(ctx, id, until, shownEvents+1)
		return err
	})
	if len(out.Events) > shownEvents {
		out.Events = out.Events[:shownEvents]
		out.More = "/robots/" + url.PathEscape(id) + "?before=" + strconv.FormatInt(out.Events[shownEvents-1].Received.UnixMicro(), 10) + "#events"
	}
	out.Presence = presence(out.State, d.cfg.Now())
	return page{name: "robot", Title: "Robot " + id, Data: out, Live: true}, err
}
