// Package config reads the workers' settings from the environment and refuses
// bad values. What a setting means is left to the worker that asks for it.
package config

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ErrBad marks an error that only another configuration can avoid.
var ErrBad = errors.New("bad configuration")

// Reader reads settings one after the other and keeps every problem, so that a
// person sees all of them at once. An empty variable counts as not set, as
// Compose sets empty ones for what a shell does not have.
type Reader struct {
	lookup   func(string) (string, bool)
	problems []error
}

// NewReader reads through lookup, which is os.LookupEnv outside tests.
func NewReader(lookup func(string) (string, bool)) *Reader {
	return &Reader{lookup: lookup}
}

// Err joins the problems of all settings that were read; nil when none was bad,
// else ErrBad.
func (r *Reader) Err() error {
	if len(r.problems) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrBad, errors.Join(r.problems...))
}

func (r *Reader) value(name string) (string, bool) {
	text, set := r.lookup(name)
	return text, set && text != ""
}

func (r *Reader) refuse(name, text, want string) {
	r.problems = append(r.problems, fmt.Errorf("%s=%q: want %s", name, text, want))
}

// IsSet says whether the variable has a value.
func (r *Reader) IsSet(name string) bool {
	_, set := r.value(name)
	return set
}

// String takes any text.
func (r *Reader) String(name, otherwise string) string {
	if text, set := r.value(name); set {
		return text
	}
	return otherwise
}

// Int takes a whole number from least to most.
func (r *Reader) Int(name string, otherwise, least, most int) int {
	text, set := r.value(name)
	if !set {
		return otherwise
	}
	number, err := strconv.Atoi(text)
	if err != nil || number < least || number > most {
		r.refuse(name, text, fmt.Sprintf("a whole number from %d to %d", least, most))
		return otherwise
	}
	return number
}

// Uint64 takes any whole number that is not negative.
func (r *Reader) Uint64(name string, otherwise uint64) uint64 {
	text, set := r.value(name)
	if !set {
		return otherwise
	}
	number, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		r.refuse(name, text, "a whole number from 0 to 18446744073709551615")
		return otherwise
	}
	return number
}

// Rate takes a number a second; 0 means without limit.
func (r *Reader) Rate(name string) float64 {
	text, set := r.value(name)
	if !set {
		return 0
	}
	rate, err := strconv.ParseFloat(text, 64)
	if err != nil || !(rate >= 0 && rate <= 1e6) {
		r.refuse(name, text, "a number a second from 0 (no limit) to 1000000, such as 20 or 0.5")
		return 0
	}
	return rate
}

// Bool takes true or false.
func (r *Reader) Bool(name string, otherwise bool) bool {
	return r.OneOf(name, strconv.FormatBool(otherwise), "true", "false") == "true"
}

// OneOf takes one of the choices.
func (r *Reader) OneOf(name, otherwise string, choices ...string) string {
	text, set := r.value(name)
	if !set {
		return otherwise
	}
	if !slices.Contains(choices, text) {
		r.refuse(name, text, strings.Join(choices, " or "))
		return otherwise
	}
	return text
}

// Duration takes a time such as 500ms from least to most.
func (r *Reader) Duration(name string, otherwise, least, most time.Duration) time.Duration {
	text, set := r.value(name)
	if !set {
		return otherwise
	}
	duration, err := time.ParseDuration(text)
	if err != nil || duration < least || duration > most {
		r.refuse(name, text, fmt.Sprintf("a time from %v to %v, such as 500ms or 2s", least, most))
		return otherwise
	}
	return duration
}

// BrokerURL takes an amqp or amqps URL. A refusal does not repeat the value,
// which may hold a password.
func (r *Reader) BrokerURL(name, otherwise string) string {
	text, set := r.value(name)
	if !set {
		return otherwise
	}
	parsed, err := url.Parse(text)
	if err != nil || (parsed.Scheme != "amqp" && parsed.Scheme != "amqps") || parsed.Hostname() == "" {
		r.problems = append(r.problems, fmt.Errorf("%s: not the address of a broker: want amqp://user:password@host:5672/ with a virtual host behind the slash where one is needed", name))
		return otherwise
	}
	return text
}
