package config

import (
	"strings"
	"testing"
	"time"
)

func reader(environment map[string]string) *Reader {
	return NewReader(func(name string) (string, bool) {
		text, set := environment[name]
		return text, set
	})
}

func TestGoodValues(t *testing.T) {
	r := reader(map[string]string{
		"INT": "7", "SEED": "18446744073709551615", "RATE": "0.5", "BOOL": "true", "ONE": "b",
		"TIME": "250ms", "URL": "amqp://kp:secret@rabbitmq:5672/run-1", "TEXT": "x", "EMPTY": "",
	})
	if got := r.Int("INT", 1, 1, 7); got != 7 {
		t.Errorf("Int = %d", got)
	}
	if got := r.Int("EMPTY", 3, 1, 7); got != 3 || r.IsSet("EMPTY") {
		t.Errorf("an empty variable counts as set: Int = %d", got)
	}
	if got := r.Uint64("SEED", 0); got != 1<<64-1 {
		t.Errorf("Uint64 = %d", got)
	}
	if got := r.Rate("RATE"); got != 0.5 {
		t.Errorf("Rate = %v", got)
	}
	if !r.Bool("BOOL", false) || !r.Bool("UNSET", true) {
		t.Error("Bool does not read true")
	}
	if got := r.OneOf("ONE", "a", "a", "b"); got != "b" {
		t.Errorf("OneOf = %q", got)
	}
	if got := r.Duration("TIME", 0, 0, time.Second); got != 250*time.Millisecond {
		t.Errorf("Duration = %v", got)
	}
	if got := r.BrokerURL("URL", ""); got != "amqp://kp:secret@rabbitmq:5672/run-1" {
		t.Errorf("BrokerURL = %q", got)
	}
	if got := r.String("TEXT", ""); got != "x" {
		t.Errorf("String = %q", got)
	}
	if err := r.Err(); err != nil {
		t.Errorf("good values were refused: %v", err)
	}
}

// Every bad value is refused with its variable, its value and what is allowed,
// and all of them at once.
func TestBadValues(t *testing.T) {
	r := reader(map[string]string{
		"NUM_PARTITIONS": "0", "NUM_CHUNKS": "many", "SEED": "-1", "RATE": "NaN", "QUEUE_DURABLE": "yes",
		"ENTRY": "worker-9", "VERIFY_TIMEOUT": "2", "RABBITMQ_URL": "http://kp:secret@rabbitmq",
	})
	r.Int("NUM_PARTITIONS", 5, 1, 1000)
	r.Int("NUM_CHUNKS", 20, 1, 10)
	r.Uint64("SEED", 1)
	r.Rate("RATE")
	r.Bool("QUEUE_DURABLE", false)
	r.OneOf("ENTRY", "worker-2", "worker-1", "worker-2")
	r.Duration("VERIFY_TIMEOUT", time.Second, time.Millisecond, time.Minute)
	r.BrokerURL("RABBITMQ_URL", "")
	err := r.Err()
	if err == nil {
		t.Fatal("bad values were taken")
	}
	for _, want := range []string{
		`NUM_PARTITIONS="0": want a whole number from 1 to 1000`, `NUM_CHUNKS="many"`, `SEED="-1"`, `RATE="NaN"`,
		`QUEUE_DURABLE="yes": want true or false`, `ENTRY="worker-9": want worker-1 or worker-2`,
		`VERIFY_TIMEOUT="2": want a time from 1ms to 1m0s`, `RABBITMQ_URL: not the address of a broker`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "secret") {
		t.Errorf("the error shows a password: %v", err)
	}
}
