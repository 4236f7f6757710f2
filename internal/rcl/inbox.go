//go:build ros2

package rcl

/*
#include <rcl/subscription.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

// A bell is rung once by whatever comes first, until it is armed again.
typedef struct {
	atomic_bool armed;
	int fd;
} bell_t;

// A box counts what waits in the middleware for one subscription.
typedef struct {
	atomic_size_t waiting;
	bell_t *bell;
} box_t;

static bell_t *bell_new(void) {
	bell_t *b = calloc(1, sizeof *b);
	if (b == NULL) return NULL;
	b->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (b->fd < 0) { free(b); return NULL; }
	return b;
}

static box_t *box_new(bell_t *bell) {
	box_t *b = calloc(1, sizeof *b);
	if (b != NULL) b->bell = bell;
	return b;
}

static void bell_arm(bell_t *b) { atomic_store(&b->armed, true); }

static bool bell_disarm(bell_t *b) { return atomic_exchange(&b->armed, false); }

static size_t box_empty(box_t *b) { return atomic_exchange(&b->waiting, 0); }

static size_t box_look(box_t *b) { return atomic_load(&b->waiting); }

// arrived is called by a thread of the middleware.
static void arrived(const void *box, size_t messages) {
	box_t *b = (box_t *)box;
	atomic_fetch_add(&b->waiting, messages);
	if (bell_disarm(b->bell)) {
		const uint64_t one = 1;
		if (write(b->bell->fd, &one, sizeof one) < 0) bell_arm(b->bell);
	}
}

static rcl_ret_t tell(const void *subscription, box_t *b) {
	return rcl_subscription_set_on_new_message_callback(subscription, b == NULL ? NULL : arrived, b);
}
*/
import "C"

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
	"unsafe"
)

// inbox is where the messages of some subscriptions arrive. The middleware's
// threads count them and ring a bell, which Go's poller hears; nothing waits
// inside of rcl. A wait set costs more than the messages: each time that it
// wakes every entity is attached and detached, threads are switched, and Go's
// monitor of threads polls for as long as a call into C lasts.
type inbox struct {
	rest  time.Duration // between two looks; 0: what comes is taken at once
	bell  *C.bell_t
	end   *os.File // of the bell; nil: there are no subscriptions
	boxes []box
}

// box holds what has come for one subscription.
type box struct {
	*spout
	c    *C.box_t
	draw func(*spout) bool // takes one message; false: there was none
}

// add makes a subscription's messages arrive here.
func (i *inbox) add(s *spout, draw func(*spout) bool) error {
	if i.bell == nil {
		bell, err := C.bell_new()
		if bell == nil {
			return fmt.Errorf("eventfd: %w", err)
		}
		i.bell, i.end = bell, os.NewFile(uintptr(bell.fd), "arrivals")
	}
	c := C.box_new(i.bell)
	if c == nil {
		return errors.New("no memory")
	}
	i.boxes = append(i.boxes, box{s, c, draw})
	return nil
}

// run takes what comes until ctx ends. What is there already counts as coming.
func (i *inbox) run(ctx context.Context) (err error) {
	defer context.AfterFunc(ctx, func() { _ = i.end.SetReadDeadline(time.Unix(1, 0)) })()
	C.bell_arm(i.bell)
	for n, b := range i.boxes {
		if err := b.tell(b.c); err != nil {
			return errors.Join(err, silence(i.boxes[:n]))
		}
	}
	defer func() { err = errors.Join(err, silence(i.boxes)) }()
	rest := time.NewTimer(i.rest)
	defer rest.Stop()
	var rung [8]byte
	for {
		if _, err := i.end.Read(rung[:]); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("wait for messages: %w", err)
		}
		for again := true; again && ctx.Err() == nil; {
			if i.rest == 0 {
				C.bell_arm(i.bell) // before taking: what comes meanwhile rings
				i.take()
				break
			}
			i.take()
			rest.Reset(i.rest)
			select {
			case <-rest.C:
			case <-ctx.Done():
			}
			again = i.more()
		}
	}
}

// uncounted is how many messages more than were told of are taken at once from a
// box: a middleware may tell of several as of one. It is more than is kept of any
// topic.
const uncounted = 1000

// take takes from every box that something came for all that there is.
func (i *inbox) take() {
	for _, b := range i.boxes {
		n := uint64(C.box_empty(b.c))
		if n == 0 {
			continue
		}
		for range n + uncounted {
			if !b.draw(b.spout) {
				break
			}
		}
	}
}

// more says whether messages came while the bell was silent, and arms it where
// none did.
func (i *inbox) more() bool {
	C.bell_arm(i.bell)
	for _, b := range i.boxes {
		if C.box_look(b.c) > 0 {
			return bool(C.bell_disarm(i.bell)) // false: it rings already
		}
	}
	return false
}

// silence ends what tell began: the middleware calls nobody any more.
func silence(boxes []box) error {
	var errs []error
	for _, b := range boxes {
		errs = append(errs, b.tell(nil))
	}
	return errors.Join(errs...)
}

// close frees the bell. run must have returned.
func (i *inbox) close() error {
	if i.end == nil {
		return nil
	}
	err := i.end.Close()
	for _, b := range i.boxes {
		C.free(unsafe.Pointer(b.c))
		b.close()
	}
	C.free(unsafe.Pointer(i.bell))
	*i = inbox{rest: i.rest}
	return err
}

// tell has the middleware count in c; nil: it counts no more.
func (b box) tell(c *C.box_t) error {
	if rc := C.tell(b.inner, c); rc != C.RCL_RET_OK {
		return tidy("listen for "+b.sub.TopicName, fmt.Errorf("the middleware cannot say when messages come (rcl %d)", int(rc)))
	}
	return nil
}
