package hawkbit

import (
	"cmp"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Bounds of the server's documents, in bytes.
const (
	maxRoot       = 64 << 10
	maxDeployment = 1 << 20
	maxCancel     = 64 << 10
	maxQuery      = 256
)

// Bounds of the pause between two polls.
const (
	minSleep   = time.Second
	maxSleep   = 24 * time.Hour
	usualSleep = 5 * time.Minute // where the server names none
)

// Relations of the links in a root document.
const (
	relDeployment   = "deploymentBase"
	relConfirmation = "confirmationBase"
	relCancel       = "cancelAction"
	relConfig       = "configData"
)

// site is where this robot's resources lie at the server.
type site struct{ base *url.URL }

func newSite(server *url.URL, tenant, controller string) site {
	root := *server
	root.Path = cmp.Or(root.Path, "/") // else JoinPath makes a relative one
	return site{root.JoinPath(tenant, "controller", "v1", controller)}
}

// at is the address of a resource of this robot.
func (s site) at(parts ...string) string { return s.base.JoinPath(parts...).String() }

// target is an action that a link leads to.
type target struct {
	id  string
	url string // with its query, which changes when the action does
}

// root is what there is to do.
type root struct {
	sleep        time.Duration
	deployment   target // a zero target: none
	confirmation target
	cancel       target
	config       bool // the robot is asked for its attributes
}

type links map[string]struct {
	Href string `json:"href"`
}

// parseRoot reads GET base. Links that it does not know are passed over.
func (s site) parseRoot(body []byte) (root, error) {
	var doc struct {
		Config struct {
			Polling struct {
				Sleep string `json:"sleep"`
			} `json:"polling"`
		} `json:"config"`
		Links links `json:"_links"`
	}
	err := read(body, &doc)
	if err != nil {
		return root{}, err
	}
	var r root
	if r.sleep, err = parseSleep(doc.Config.Polling.Sleep); err != nil {
		return root{}, err
	}
	for rel, to := range map[string]*target{relDeployment: &r.deployment, relConfirmation: &r.confirmation, relCancel: &r.cancel} {
		if l, ok := doc.Links[rel]; ok {
			if *to, err = s.follow(rel, l.Href); err != nil {
				return root{}, err
			}
		}
	}
	_, r.config = doc.Links[relConfig] // where it leads is known
	return r, nil
}

// sleepPattern is HH:MM:SS.
var sleepPattern = regexp.MustCompile(`^([0-9]{1,3}):([0-5][0-9]):([0-5][0-9])$`)

func parseSleep(s string) (time.Duration, error) {
	if s == "" {
		return usualSleep, nil
	}
	m := sleepPattern.FindStringSubmatch(s)
	if m == nil {
		return 0, badAnswer("its polling time %.40q is not of the form 00:05:00", s)
	}
	var d time.Duration
	for i, unit := range []time.Duration{time.Hour, time.Minute, time.Second} {
		n, _ := strconv.Atoi(m[i+1]) // digits, by the pattern
		d += time.Duration(n) * unit
	}
	return min(max(d, minSleep), maxSleep), nil
}

// idPattern is what an action may be called. hawkBit counts; goosebit has -1.
var idPattern = regexp.MustCompile(`^-?[0-9A-Za-z][0-9A-Za-z_-]{0,62}$`)

// follow takes a link of this robot's, and no other.
func (s site) follow(rel, href string) (target, error) {
	u, err := s.base.Parse(href)
	if err != nil || href == "" {
		return target{}, badAnswer("its link %s is no address", rel)
	}
	if u.Scheme != s.base.Scheme || !sameHost(u, s.base) || u.User != nil {
		return target{}, badAnswer("its link %s leads to %.80q, and the server is %s://%s: a server behind a proxy has to be told by which name it is reached (X-Forwarded-Proto, X-Forwarded-Host)",
			rel, u.Scheme+"://"+u.Host, s.base.Scheme, s.base.Host)
	}
	id, ok := strings.CutPrefix(u.Path, s.base.Path+"/"+rel+"/")
	if !ok || !idPattern.MatchString(id) {
		return target{}, badAnswer("its link %s leads to %.120q, which is none of this robot's", rel, u.Path)
	}
	if len(u.RawQuery) > maxQuery {
		return target{}, badAnswer("the query of its link %s is longer than %d bytes", rel, maxQuery)
	}
	to := *s.base.JoinPath(rel, id) // written anew: nothing of the link but these two
	to.RawQuery = u.RawQuery
	return target{id: id, url: to.String()}, nil
}

func sameHost(a, b *url.URL) bool {
	return strings.EqualFold(a.Hostname(), b.Hostname()) && cmp.Or(a.Port(), "443") == cmp.Or(b.Port(), "443")
}

// parseCancel reads GET cancelAction/{id}: the action to stop.
func parseCancel(body []byte) (string, error) {
	var doc struct {
		CancelAction struct {
			StopID string `json:"stopId"`
		} `json:"cancelAction"`
	}
	if err := read(body, &doc); err != nil {
		return "", err
	}
	if !idPattern.MatchString(doc.CancelAction.StopID) {
		return "", badAnswer("it asks to cancel without naming an action")
	}
	return doc.CancelAction.StopID, nil
}
