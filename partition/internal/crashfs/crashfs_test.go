package crashfs_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/killpoint/killpoint/partition"
	"github.com/killpoint/killpoint/partition/internal/crashfs"
)

// must fails the test on the first error.
func must(t *testing.T, failures ...error) {
	t.Helper()
	if err := errors.Join(failures...); err != nil {
		t.Fatal(err)
	}
}

func create(t *testing.T, disk *crashfs.FS, name string) partition.File {
	t.Helper()
	f, err := disk.Create(name)
	must(t, err)
	return f
}

func write(t *testing.T, f partition.File, text string, offset int64) {
	t.Helper()
	_, err := f.WriteAt([]byte(text), offset)
	must(t, err)
}

func expect(t *testing.T, disk *crashfs.FS, want map[string]string) {
	t.Helper()
	if difference := cmp.Diff(want, disk.Files()); difference != "" {
		t.Errorf("files (-want +got):\n%s", difference)
	}
}

func TestPowerLossKeepsWhatWasSynced(t *testing.T) {
	disk := crashfs.New()
	must(t, disk.Mkdir("/d"), disk.SyncDir("/"))
	f := create(t, disk, "/d/synced")
	write(t, f, "0123456789", 0)
	must(t, f.SyncData(), disk.SyncDir("/d"))
	write(t, f, "ABC", 2)
	write(t, f, "tail", 12)
	must(t, f.Truncate(14))
	g := create(t, disk, "/d/nameless")
	write(t, g, "x", 0)
	must(t, g.SyncData())

	expect(t, disk.KillProcess(), map[string]string{"/d/synced": "01ABC56789\x00\x00ta", "/d/nameless": "x"})
	expect(t, disk.Crash(crashfs.Everything{}), map[string]string{"/d/synced": "01ABC56789\x00\x00ta", "/d/nameless": "x"})
	expect(t, disk.Crash(crashfs.Nothing{}), map[string]string{"/d/synced": "0123456789"})
	expect(t, disk.Crash(crashfs.NamesOnly{}), map[string]string{"/d/synced": "0123456789\x00\x00\x00\x00", "/d/nameless": "x"})
	expect(t, disk.Crash(crashfs.BytesOnly{}), map[string]string{"/d/synced": "01ABC56789\x00\x00tail"})
	expect(t, disk.KillProcess().Crash(crashfs.Nothing{}), map[string]string{"/d/synced": "0123456789"})
}

func TestSeededSubsetsDifferAndRepeat(t *testing.T) {
	disk := crashfs.New()
	f := create(t, disk, "/f")
	must(t, disk.SyncDir("/"))
	for at := range int64(8) {
		write(t, f, "abcdefgh", 8*at)
	}
	different := map[string]bool{}
	for seed := range uint64(20) {
		first, second := disk.Crash(crashfs.Seeded(seed)).Files()["/f"], disk.Crash(crashfs.Seeded(seed)).Files()["/f"]
		if first != second {
			t.Errorf("seed %d keeps %q and then %q", seed, first, second)
		}
		different[first] = true
	}
	if len(different) < 10 {
		t.Errorf("20 seeds leave only %d different files", len(different))
	}
}

func TestRenamingIsAtomic(t *testing.T) {
	disk := crashfs.New()
	f := create(t, disk, "/old")
	write(t, f, "x", 0)
	must(t, f.SyncData(), disk.SyncDir("/"), disk.Rename("/old", "/new"))
	expect(t, disk.KillProcess(), map[string]string{"/new": "x"})
	expect(t, disk.Crash(crashfs.Nothing{}), map[string]string{"/old": "x"})
	must(t, disk.SyncDir("/"))
	expect(t, disk.Crash(crashfs.Nothing{}), map[string]string{"/new": "x"})
}

// TestFailedSyncLosesItsBytes: only writing them again makes them durable.
func TestFailedSyncLosesItsBytes(t *testing.T) {
	broken := errors.New("broken")
	disk := crashfs.New()
	f := create(t, disk, "/f")
	must(t, disk.SyncDir("/"))
	write(t, f, "lost", 0)
	disk.Before = func(crashfs.Op) *crashfs.Fault { return &crashfs.Fault{Err: broken} }
	if err := f.SyncData(); !errors.Is(err, broken) {
		t.Fatalf("sync: %v", err)
	}
	disk.Before = nil
	must(t, f.SyncData())
	expect(t, disk, map[string]string{"/f": "lost"})
	expect(t, disk.Crash(crashfs.Nothing{}), map[string]string{"/f": ""})
	write(t, f, "lost", 0)
	must(t, f.SyncData())
	expect(t, disk.Crash(crashfs.Nothing{}), map[string]string{"/f": "lost"})
}

func TestNothingWorksAfterACrash(t *testing.T) {
	disk := crashfs.New()
	f := create(t, disk, "/f")
	disk.Before = func(op crashfs.Op) *crashfs.Fault { return &crashfs.Fault{Crash: true, Keep: 2} }
	if n, err := f.WriteAt([]byte("torn"), 0); n != 2 || !errors.Is(err, crashfs.ErrCrashed) {
		t.Errorf("write: %d, %v", n, err)
	}
	disk.Before = nil
	for name, err := range map[string]error{"sync": f.SyncData(), "close": f.Close(), "mkdir": disk.Mkdir("/d"), "syncdir": disk.SyncDir("/")} {
		if !errors.Is(err, crashfs.ErrCrashed) {
			t.Errorf("%s after the crash: %v", name, err)
		}
	}
	expect(t, disk.KillProcess(), map[string]string{"/f": "to"})
}

func TestLocksDieWithTheProcess(t *testing.T) {
	disk := crashfs.New()
	if _, err := disk.Lock("/lock"); err != nil {
		t.Fatal(err)
	}
	if _, err := disk.Lock("/lock"); !errors.Is(err, partition.ErrLocked) {
		t.Errorf("second lock: %v, want ErrLocked", err)
	}
	if _, err := disk.KillProcess().Lock("/lock"); err != nil {
		t.Errorf("lock of the next life: %v", err)
	}
}
