package check

import (
	"context"
	"fmt"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/doctor"
	"github.com/robot-platform/robot-ota/agent/internal/update"
)

// History verifies the chain of the history's records, and tells how the last
// update ended.
func History(verify func(context.Context) (update.Audit, error), last func(context.Context) ([]update.Record, error)) doctor.Check {
	return doctor.Check{Name: "history", About: "the chain of the history's records", Run: func(ctx context.Context) []doctor.Finding {
		a, err := verify(ctx)
		switch {
		case a.Line > 0:
			return Audit(a)
		case unseen(err):
			return []doctor.Finding{doctor.Skip("it may not be looked at by this user: %s", asRoot)}
		case err != nil:
			return []doctor.Finding{doctor.Bad("look at the disk, and at the agent's log: journalctl -u robot-ota", "it cannot be looked through: %v", err)}
		}
		findings := Audit(a)
		if records, err := last(ctx); err == nil && len(records) > 0 {
			findings = append(findings, doctor.Good("%s", ended(records[len(records)-1])))
		}
		return findings
	}}
}

func ended(r update.Record) string {
	text := fmt.Sprintf("the last %s: %s at %s", r.Kind, r.Outcome, r.Ended.Local().Format(time.DateTime))
	if r.Failure != nil {
		text += " (" + r.Failure.Code + ")"
	}
	return text
}

// Audit judges what looking through the history has found.
func Audit(a update.Audit) []doctor.Finding {
	if a.Line > 0 {
		return []doctor.Finding{doctor.Bad(
			"copy the state directory away as evidence, and ask who could write to it; then stop the agent, `mv history.jsonl history.jsonl.damaged` there, and start it: it begins a new history",
			"the history is not the one that the agent wrote: line %d %s (records before it that hold together: %d)", a.Line, a.Wrong, a.Records)}
	}
	var findings []doctor.Finding
	switch {
	case a.Records == 0:
		findings = append(findings, doctor.Good("there is none yet"))
	case a.Counted == nil:
		findings = append(findings, doctor.Good("%s; whether the end was cut off is not known, as the memory does not count them yet", together(a.Records)))
	default:
		findings = append(findings, doctor.Good("%s, and none is missing", together(a.Records)))
	}
	if a.Torn {
		findings = append(findings, doctor.Doubt("nothing: the agent takes it away when it starts", "the last line is torn, as a power cut leaves it"))
	}
	if a.Aside != "" {
		findings = append(findings, doctor.Doubt("when it has been looked into, remove "+a.Aside, "an earlier history was put aside as %s", a.Aside))
	}
	return findings
}

func together(records int) string {
	if records == 1 {
		return "the one record is sound"
	}
	return fmt.Sprintf("all %d records hold together", records)
}
