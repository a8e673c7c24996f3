package run

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestOwnerIsAliveAsLongAsItHoldsItsLock(t *testing.T) {
	first, err := newOwner()
	if err != nil {
		t.Fatal(err)
	}
	second, err := newOwner()
	if err != nil {
		t.Fatal(err)
	}
	defer second.close()
	if first.name == second.name {
		t.Fatalf("two owners are called %s", first.name)
	}
	for range 2 { // to ask must not change the answer
		if got := stateOf(first.name); got != living {
			t.Errorf("an owner that holds its lock is %v, want living", got)
		}
	}
	if err := first.close(); err != nil {
		t.Fatal(err)
	}
	if got := stateOf(first.name); got != dead {
		t.Errorf("an owner whose lock file is gone is %v, want dead", got)
	}
	if got := stateOf(second.name); got != living {
		t.Errorf("the other owner is %v, want living", got)
	}
}

// The kernel lets go of the lock of a process that was killed, and leaves the
// file.
func TestOwnerThatWasKilledIsDead(t *testing.T) {
	killed, err := newOwner()
	if err != nil {
		t.Fatal(err)
	}
	if err := killed.file.Close(); err != nil {
		t.Fatal(err)
	}
	if got := stateOf(killed.name); got != dead {
		t.Errorf("an owner that holds its lock no longer is %v, want dead", got)
	}
	if _, err := os.Stat(killed.file.Name()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("its lock file is still there: %v", err)
	}
	if got := stateOf(killed.name); got != dead {
		t.Errorf("asked again, it is %v, want dead", got)
	}
}

func TestOwnerElsewhere(t *testing.T) {
	mine, err := newOwner()
	if err != nil {
		t.Fatal(err)
	}
	defer mine.close()
	_, path, _ := strings.Cut(mine.name, ":")
	for name, label := range map[string]string{
		"another host, same lock file":    "elsewhere:" + path,
		"another host, no such lock file": "elsewhere:/no/such/file",
		"no host":                         path,
		"nothing":                         "",
	} {
		if got := stateOf(label); got != elsewhere {
			t.Errorf("%s: %q is %v, want elsewhere", name, label, got)
		}
	}
}

// What cannot be looked at may be alive: it is left alone.
func TestOwnerThatCannotBeSeenIsAlive(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	host, err := hostName()
	if err != nil {
		t.Fatal(err)
	}
	if got := stateOf(host + ":" + filepath.Join(file, "owner.lock")); got != living {
		t.Errorf("an owner whose lock file cannot be opened is %v, want living", got)
	}
}

func TestAbandoned(t *testing.T) {
	for _, test := range []struct {
		owner     state
		all, want bool
	}{
		{living, false, false}, {living, true, false},
		{dead, false, true}, {dead, true, true},
		{elsewhere, false, false}, {elsewhere, true, true},
	} {
		if got := abandoned(test.owner, test.all); got != test.want {
			t.Errorf("abandoned(%v, %v) = %v, want %v", test.owner, test.all, got, test.want)
		}
	}
}
