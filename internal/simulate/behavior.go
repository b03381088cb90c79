package simulate

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Fault is a way in which an answer can go wrong on the wire.
type Fault string

// The faults. On HTTP/2 a reset or early close ends the whole connection, with
// the other streams on it.
const (
	// FaultNone is the zero value: nothing goes wrong.
	FaultNone Fault = ""
	// FaultReset answers nothing and resets the TCP connection.
	FaultReset Fault = "reset"
	// FaultEarlyClose answers nothing and closes the connection in good order.
	FaultEarlyClose Fault = "early-close"
	// FaultHang answers nothing until the client or the server gives up, five
	// minutes at most.
	FaultHang Fault = "hang"
	// FaultHalf sends the head and half of the body, and breaks off.
	FaultHalf Fault = "half"
	// FaultGarbage sends the right head with a body that means nothing.
	FaultGarbage Fault = "garbage"
)

// The bounds of what a Behavior may demand.
const (
	maxDelay      = time.Minute
	maxEventDelay = 10 * time.Second
	maxEvents     = 100_000
	maxSize       = 8 << 20
	maxHang       = 5 * time.Minute
)

const knobPrefix = "X-Simulate-"

// Behavior says how an answer is to be slow, broken or large. The zero value
// changes nothing.
type Behavior struct {
	// Delay is waited before anything is sent; one minute at most.
	Delay time.Duration
	// Status replaces the answer's status. From 400 on the answer is the
	// provider's error; from 300 to 399 it has no body.
	Status int
	// Fault breaks the answer.
	Fault Fault
	// Events is the number of content events in a stream; 100,000 at most.
	Events int
	// EventDelay is waited before each event but the first; ten seconds at most.
	EventDelay time.Duration
	// Size is the exact length of the generated text in bytes; 8 MiB at most.
	Size int
	// Header is added to the answer's. No request header can set it.
	Header http.Header
}

// knob is one request header that sets one part of a Behavior.
type knob struct {
	name string
	set  func(*Behavior, string) error
}

func knobs() []knob {
	return []knob{
		{"Delay", func(b *Behavior, v string) (err error) { b.Delay, err = time.ParseDuration(v); return }},
		{"Status", func(b *Behavior, v string) (err error) { b.Status, err = strconv.Atoi(v); return }},
		{"Fault", func(b *Behavior, v string) error { b.Fault = Fault(v); return nil }},
		{"Events", func(b *Behavior, v string) (err error) { b.Events, err = strconv.Atoi(v); return }},
		{"Event-Delay", func(b *Behavior, v string) (err error) { b.EventDelay, err = time.ParseDuration(v); return }},
		{"Size", func(b *Behavior, v string) (err error) { b.Size, err = strconv.Atoi(v); return }},
	}
}

// with is b as the x-simulate-* headers in h change it. Errors name the header
// and never repeat its value.
func (b Behavior) with(h http.Header) (Behavior, error) {
	for _, name := range slices.Sorted(maps.Keys(h)) {
		short, ok := strings.CutPrefix(name, knobPrefix)
		if !ok {
			continue
		}
		i := slices.IndexFunc(knobs(), func(k knob) bool { return k.name == short })
		if i < 0 {
			return Behavior{}, errors.New("unknown x-simulate header: have delay, status, fault, events, event-delay, size")
		}
		if len(h[name]) != 1 || knobs()[i].set(&b, h[name][0]) != nil {
			return Behavior{}, fmt.Errorf("%s: want one valid value", strings.ToLower(name))
		}
	}
	return b, b.validate()
}

// validate refuses what is out of bounds.
func (b Behavior) validate() error {
	switch {
	case b.Delay < 0 || b.Delay > maxDelay:
		return fmt.Errorf("delay: want 0 to %s", maxDelay)
	case b.Status != 0 && (b.Status < 200 || b.Status > 599):
		return errors.New("status: want 200 to 599")
	case !b.Fault.known():
		return errors.New("fault: want reset, half, hang, garbage or early-close")
	case b.Events < 0 || b.Events > maxEvents:
		return fmt.Errorf("events: want 0 to %d", maxEvents)
	case b.EventDelay < 0 || b.EventDelay > maxEventDelay:
		return fmt.Errorf("event-delay: want 0 to %s", maxEventDelay)
	case b.Size < 0 || b.Size > maxSize:
		return fmt.Errorf("size: want 0 to %d", maxSize)
	}
	return nil
}

func (f Fault) known() bool {
	switch f {
	case FaultNone, FaultReset, FaultEarlyClose, FaultHang, FaultHalf, FaultGarbage:
		return true
	}
	return false
}
