package hawkbit

import (
	"context"
	"net/url"
)

// Ask asks the server once what it wants of a robot, and answers nothing of
// it. What comes back is in words. Its errors are those of httpguard and
// *AnswerError.
func Ask(ctx context.Context, server *url.URL, tenant, controller string, h HTTP) (string, error) {
	c := client{site: newSite(server, tenant, controller), http: h}
	doc, err := c.get(ctx, c.at(), "", maxRoot)
	if err != nil {
		return "", err
	}
	r, err := c.parseRoot(doc.body)
	switch {
	case err != nil:
		return "", err
	case r.cancel != target{}:
		return "action " + r.cancel.id + " is to be cancelled", nil
	case r.confirmation != target{}:
		return "action " + r.confirmation.id + " waits for consent", nil
	case r.deployment != target{}:
		return "deployment " + r.deployment.id, nil
	}
	return "nothing to do", nil
}
