package mqttfleet

import (
	"context"
	"time"
)

// Bounds of what waits to be stored.
const (
	// maxQueue is more than a broker has in flight (Mosquitto: 20 where it is
	// not told otherwise), so that a queue that is full is rare for QoS 1.
	maxQueue = 4096
	// maxBatch are the most messages of one transaction.
	maxBatch = 256
)

// delivery is a message that may want to be acknowledged.
type delivery struct {
	Message
	// ack tells the broker that the message is stored; nil: nobody waits for it.
	ack func()
	// strikes: so often others could be stored and it could not.
	strikes int
}

// queue are messages that wait.
type queue struct {
	waiting chan delivery
	dropped func(n int)
}

func newQueue(dropped func(int)) *queue {
	return &queue{waiting: make(chan delivery, maxQueue), dropped: dropped}
}

// offer puts a message into the queue. Where that is full, one that nobody
// waits for is dropped, and any other holds the broker up.
func (q *queue) offer(ctx context.Context, d delivery) {
	select {
	case q.waiting <- d:
		return
	default:
	}
	if d.ack == nil {
		q.dropped(1)
		return
	}
	select {
	case q.waiting <- d:
	case <-ctx.Done():
	}
}

// next is what waits now, in its order, at most maxBatch; nil: ctx ended. It does
// not wait for more than there is: brokers hold back until what they have sent
// is acknowledged.
func (q *queue) next(ctx context.Context) []delivery {
	select {
	case d := <-q.waiting:
		return q.fill([]delivery{d})
	case <-ctx.Done():
		return nil
	}
}

// fill adds to a batch what waits now.
func (q *queue) fill(batch []delivery) []delivery {
	for len(batch) < maxBatch {
		select {
		case d := <-q.waiting:
			batch = append(batch, d)
		default:
			return batch
		}
	}
	return batch
}

// How long to wait for a store that does not store.
const (
	firstPause = 100 * time.Millisecond
	maxPause   = 10 * time.Second
)

// receive stores what arrives until ctx ends. What the store does not take is
// tried again, with what came meanwhile.
func (l *Link) receive(ctx context.Context, in *queue) {
	var batch []delivery
	pause := firstPause
	for {
		if len(batch) == 0 {
			batch, pause = in.next(ctx), firstPause
		}
		if batch == nil {
			return
		}
		err := l.inbox.Take(ctx, messages(batch))
		if err == nil {
			acknowledge(batch)
			batch = nil
			continue
		}
		if ctx.Err() != nil {
			return
		}
		l.log.Warn("messages of robots cannot be stored now; the broker keeps them", "messages", len(batch), "err", err)
		if batch = l.single(ctx, batch); len(batch) == 0 {
			continue
		}
		if !sleep(ctx, pause) {
			return
		}
		batch, pause = in.fill(batch), min(2*pause, maxPause)
	}
}

const (
	// maxAlone messages in a row that cannot be stored are the store's fault.
	maxAlone = 3
	// maxStrikes is how often a message may fail while one after it is stored:
	// then it is given up, as it would come again for ever.
	maxStrikes = 3
)

// single stores a batch one by one and returns what could not be.
func (l *Link) single(ctx context.Context, batch []delivery) []delivery {
	var left []delivery
	run, passed := 0, 0 // failures on end; of those left, how many were passed by a success
	for n, d := range batch {
		if err := l.inbox.Take(ctx, []Message{d.Message}); err == nil {
			acknowledge(batch[n : n+1])
			run, passed = 0, len(left)
			continue
		}
		left = append(left, d)
		if run++; run == maxAlone {
			left = append(left, batch[n+1:]...)
			break
		}
	}
	var keep []delivery
	for n, d := range left {
		if n < passed {
			d.strikes++
		}
		if d.strikes < maxStrikes {
			keep = append(keep, d)
			continue
		}
		l.log.Error("a message of a robot is given up: others can be stored and it cannot", "topic", d.Topic, "bytes", len(d.Payload))
		acknowledge(left[n : n+1])
	}
	return keep
}

func messages(batch []delivery) []Message {
	out := make([]Message, len(batch))
	for i, d := range batch {
		out[i] = d.Message
	}
	return out
}

func acknowledge(batch []delivery) {
	for _, d := range batch {
		if d.ack != nil {
			d.ack()
		}
	}
}
