package dashboard

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/robot-platform/robot-ota/fleet/internal/rollout"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
)

// verb is something that an operator can do.
type verb struct {
	Name, Label string
	// Means says what follows from it.
	Means string
	// Grave things cannot be undone.
	Grave   bool
	Verdict rollout.Verdict
}

// verbsIn lists what can be done with a rollout in a phase.
func verbsIn(p rollout.Phase) []verb {
	halt := verb{"halt", "Halt", "Nobody gets the release any more, and the robots that took it roll back. This is final.", true, rollout.Halt}
	switch p {
	case rollout.Paused:
		return []verb{{"resume", "Resume", "Robots are offered the release again, and the watch goes on.", false, rollout.Resume}, halt}
	case rollout.Running, rollout.Asking:
		return []verb{
			{"pause", "Pause", "Nobody is offered the release until the rollout is resumed. Robots that have it keep it.", false, rollout.Pause},
			{"promote", "Promote", "The next stage begins now, whatever the gate of this one says.", false, rollout.Advance},
			halt,
		}
	default: // halted, stable: for good
		return nil
	}
}

// releaseVerbs lists what can be done with a release.
func releaseVerbs() []verb {
	return []verb{
		{"halt", "Halt", "Nobody gets the release any more, and its rollout ends. Robots that run it keep it.", true, ""},
		{"rollback", "Roll back", "Nobody gets the release any more, its rollout ends, and the robots that run it are told to put it back.", true, ""},
	}
}

// askData is what the page shows that asks before something is done.
type askData struct {
	verb
	What    string // it is done with
	Back    string // the page of what it is done with
	Stage   string // of the rollout, as it was when it was asked
	Robots  int    // that run the release
	Reason  string
	Wrong   string
	Largest int
}

// maxReason bounds a reason, in bytes; robots take no longer one.
const maxReason = 400

// deed finds what is to be done, and with what.
func (d *dashboard) deed(r *http.Request, v visit) (askData, error) {
	if v.user.Role != store.Operator {
		return askData{}, faultf(http.StatusForbidden, "This is for operators, and you are a viewer. Nothing was done.")
	}
	id, name := r.PathValue("id"), r.PathValue("verb")
	ask := askData{What: id, Largest: maxReason}
	var verbs []verb
	if strings.HasPrefix(r.URL.Path, "/releases/") {
		found, err := d.store.ReleaseNamed(r.Context(), id)
		if err != nil {
			return ask, err
		}
		if d.deeds.Emergency != nil {
			verbs = releaseVerbs()
		}
		ask.Back = "/releases"
		if ask.Robots, err = d.running(r.Context(), []string{found.SKU}, found.Version.String()); err != nil {
			return ask, err
		}
	} else {
		found, err := d.store.Rollout(r.Context(), id)
		if err != nil {
			return ask, err
		}
		if d.deeds.Steering != nil {
			verbs = verbsIn(rollout.Phase(found.Phase))
		}
		ask.What, ask.Back, ask.Stage = "the rollout of "+found.Release, "/rollouts/"+id, found.Stage
		if ask.Robots, err = d.running(r.Context(), found.SKUs, found.Version.String()); err != nil {
			return ask, err
		}
	}
	i := slices.IndexFunc(verbs, func(v verb) bool { return v.Name == name })
	if i < 0 {
		return ask, faultf(http.StatusConflict, "That cannot be done with "+ask.What+" now. It may have been done already.")
	}
	ask.verb = verbs[i]
	return ask, nil
}

// running counts the robots of SKUs that say they run a version.
func (d *dashboard) running(ctx context.Context, skus []string, version string) (int, error) {
	all, err := d.store.CountVersions(ctx)
	n := 0
	for _, c := range all {
		if slices.Contains(skus, c.SKU) && c.Version.String() == version {
			n += c.Robots
		}
	}
	return n, err
}

// ask shows what is about to be done, and asks for a reason.
func (d *dashboard) ask(r *http.Request, v visit) (page, error) {
	ask, err := d.deed(r, v)
	return page{name: "ask", Title: ask.Label + " " + ask.What, Data: ask}, err
}

// obey does what an operator has confirmed.
func (d *dashboard) obey(w http.ResponseWriter, r *http.Request, v visit) error {
	ask, err := d.deed(r, v)
	if err != nil {
		return err
	}
	ask.Reason = strings.TrimSpace(r.PostForm.Get("reason"))
	if ask.Wrong = wrongReason(ask.Reason); ask.Wrong != "" {
		d.render(w, http.StatusUnprocessableEntity, v, page{name: "ask", Title: ask.Label + " " + ask.What, Data: ask})
		return nil
	}
	// Halting is right at whatever stage; anything else is meant for the one that was shown.
	if !ask.Grave && r.PostForm.Get("stage") != ask.Stage {
		return faultf(http.StatusConflict, "The rollout has moved on meanwhile, to the stage "+ask.Stage+". Look at it again. Nothing was done.")
	}
	to, err := d.carryOut(r, v, ask)
	if err != nil {
		d.log.Warn("an order was refused", "by", v.user.Name, "verb", ask.Name, "of", ask.What, "err", err)
		if r.Context().Err() != nil {
			return err
		}
		return faultf(http.StatusConflict, "That was refused: "+err.Error()) // operators may know
	}
	d.log.Info("an order was carried out", "by", v.user.Name, "verb", ask.Name, "of", ask.What, "reason", ask.Reason)
	http.Redirect(w, r, to, http.StatusSeeOther)
	return nil
}

// carryOut gives the page on which it can be seen.
func (d *dashboard) carryOut(r *http.Request, v visit, ask askData) (string, error) {
	id, by := r.PathValue("id"), v.user.Name
	if !strings.HasPrefix(r.URL.Path, "/releases/") {
		return ask.Back, d.deeds.Steering.Steer(r.Context(), id, rollout.Order{Verdict: ask.Verdict, By: by, Reason: ask.Reason})
	}
	do := d.deeds.Emergency.Halt
	if ask.Name == "rollback" {
		do = d.deeds.Emergency.Rollback
	}
	incident, err := do(r.Context(), by, id, ask.Reason)
	return "/incidents/" + incident, err
}

// wrongReason says why a reason will not do; "": it will.
func wrongReason(reason string) string {
	switch {
	case reason == "":
		return "Say why. It is kept with what is done."
	case len(reason) > maxReason:
		return "That is too long: want 400 bytes or fewer."
	case !utf8.ValidString(reason) || strings.ContainsFunc(reason, func(c rune) bool { return !unicode.IsPrint(c) }):
		return "Only printable characters, on one line."
	}
	return ""
}
