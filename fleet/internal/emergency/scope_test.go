package emergency

import (
	"slices"
	"strings"
	"testing"

	"github.com/robot-platform/robot-ota/fleet/internal/release"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
)

func TestScope(t *testing.T) {
	all := []release.Release{
		of("basic", "0.2.0", 1, release.Stable), of("basic", "0.2.1", 2, release.Published), of("industrial", "0.2.1", 3, release.Published),
		of("standard", "0.2.0", 1, release.Stable), of("standard", "0.2.1", 2, release.Published), of("standard", "0.2.2", 4, release.Published),
	}
	rollouts := func(skus ...string) []store.Rollout {
		return []store.Rollout{{ID: "o1", Version: v("0.2.1"), SKUs: skus}, {ID: "other", Version: v("0.2.0"), SKUs: []string{"standard"}}}
	}
	for name, tt := range map[string]struct {
		named    int
		active   []store.Rollout
		targets  string
		rollouts string
	}{
		"alone":                          {5, nil, "standard-0.2.2", ""},
		"the same file for another SKU":  {4, nil, "basic-0.2.1 standard-0.2.1", ""},
		"its rollout":                    {2, rollouts("industrial"), "industrial-0.2.1", "o1"},
		"a rollout that brings more":     {2, rollouts("industrial", "basic"), "basic-0.2.1 industrial-0.2.1 standard-0.2.1", "o1"},
		"a rollout of its twin":          {4, rollouts("basic"), "basic-0.2.1 standard-0.2.1", "o1"},
		"a rollout of another version":   {5, rollouts("industrial"), "standard-0.2.2", ""},
		"the rollout that is going back": {3, rollouts("basic"), "basic-0.2.0 standard-0.2.0", "other"},
	} {
		s := scopeOf(all[tt.named], all, tt.active)
		var ids []string
		for _, o := range s.rollouts {
			ids = append(ids, o.ID)
		}
		if got := strings.Join(names(s.targets), " "); got != tt.targets || !slices.Equal(ids, strings.Fields(tt.rollouts)) {
			t.Errorf("%s: got %s; %v", name, got, ids)
		}
	}
}
