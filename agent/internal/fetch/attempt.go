package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/httpguard"
)

// attempt asks the server once and writes what it gives. nil means that the
// answer was used up; whether all is there then, p knows.
func (c *Client) attempt(ctx context.Context, o Offer, p *partial, progress func(done, total int64)) error {
	if p.complete() && o.SHA256 != "" {
		return nil // the rename is all that an earlier life did not come to
	}
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	a := asked{offered: o.Size, max: c.cfg.MaxSize}
	if p.resumable() {
		a.from, a.size, a.etag = p.n, p.m.Size, p.m.ETag
	}
	req, err := request(ctx, o.URL, a)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // what matters of it was read
	switch resp.StatusCode {
	case http.StatusOK, http.StatusPartialContent, http.StatusRequestedRangeNotSatisfiable:
	default:
		return httpguard.Status(resp, time.Now())
	}
	ans, err := a.judge(resp.StatusCode, resp.Header, resp.ContentLength)
	if errors.As(err, new(*oddAnswer)) && a.from > 0 {
		return errors.Join(err, p.restart(o, o.Size, ""))
	}
	if err != nil || ans.whole {
		return err
	}
	if ans.from == 0 {
		if err := p.restart(o, ans.size, ans.etag); err != nil {
			return err
		}
	}
	if err := c.store.room(ans.size - ans.from); err != nil {
		return err
	}
	p.m.ETag = ans.etag
	p.pieces++
	return c.take(ctx, end, resp, ans, p, progress)
}

func request(ctx context.Context, url string, a asked) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, refusef("url_refused", "the image's URL cannot be read: want https://host/path")
	}
	req.Header.Set("Accept", "application/octet-stream, */*;q=0.1")
	req.Header.Set("Accept-Encoding", "identity")
	if a.from > 0 {
		req.Header.Set("Range", "bytes="+strconv.FormatInt(a.from, 10)+"-")
		if a.etag != "" {
			req.Header.Set("If-Range", a.etag)
		}
	}
	return req, nil
}

// take writes an answer's body, as much of it as was announced. More is
// endless data, less an interruption.
func (c *Client) take(ctx context.Context, end context.CancelCauseFunc, resp *http.Response, ans answer, p *partial, progress func(done, total int64)) error {
	speed := newPace(c.cfg.MinSpeed, c.cfg.Patience)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer end(nil)
	wg.Go(func() { speed.watch(ctx, end) })

	buf := make([]byte, 32<<10)
	for left := ans.length; ; {
		n, err := resp.Body.Read(buf)
		if int64(n) > left {
			return refusef("endless_data", "the server sends more than the %d bytes it announced", ans.length)
		}
		if n > 0 {
			left -= int64(n)
			c.received += int64(n)
			speed.got.Add(int64(n))
			if _, err := p.Write(buf[:n]); err != nil {
				return err
			}
			if progress != nil {
				progress(p.n, p.m.Size)
			}
		}
		switch {
		case err == nil:
		case errors.Is(err, io.EOF) && left == 0:
			return nil
		default:
			return interrupted(ctx, p, err)
		}
	}
}

// interrupted explains a body that ended early.
func interrupted(ctx context.Context, p *partial, err error) error {
	switch {
	case ctx.Err() != nil: // the transfer's: too slow, or the download was ended
		err = context.Cause(ctx)
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		err = fmt.Errorf("the server closed the connection")
	}
	return &InterruptedError{Done: p.n, Size: p.m.Size, Cause: err}
}
