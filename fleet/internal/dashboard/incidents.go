package dashboard

import (
	"net/http"

	"github.com/robot-platform/robot-ota/fleet/internal/store"
)

func (d *dashboard) incidents(r *http.Request, _ visit) (page, error) {
	all, err := d.store.Incidents(r.Context(), false)
	return page{name: "incidents", Title: "Incidents", Data: all, Live: true}, err
}

// incidentData is what an incident's page shows.
type incidentData struct {
	store.Incident
	Entries  []store.Entry
	Commands []store.Command // that are open, some of them
	Told     int             // commands of the incident
	Open     int             // that no robot has complied with yet
}

func (d *dashboard) incident(r *http.Request, _ visit) (page, error) {
	ctx, id := r.Context(), r.PathValue("id")
	var out incidentData
	err := d.store.View(ctx, func(s *store.Reader) (err error) {
		if out.Incident, err = s.Incident(ctx, id); err != nil {
			return err
		}
		if out.Entries, err = s.Entries(ctx, id); err != nil {
			return err
		}
		all, err := s.Commands(ctx, store.CommandQuery{Incident: id})
		out.Told = len(all)
		for _, c := range all {
			if !c.Complied.IsZero() || !c.Dropped.IsZero() {
				continue
			}
			if out.Open++; len(out.Commands) < shownUpdates {
				out.Commands = append(out.Commands, c)
			}
		}
		return err
	})
	return page{name: "incident", Title: out.Title, Data: out, Live: true}, err
}
