package queue

import "testing"

func TestGatherTakesWhatWaits(t *testing.T) {
	waiting := make(chan Delivery, 10)
	for tag := uint64(2); tag <= 6; tag++ {
		waiting <- Delivery{tag: tag}
	}
	first := gather(Delivery{tag: 1}, waiting, 3)
	if len(first) != 3 || first[0].tag != 1 || first[2].tag != 3 {
		t.Errorf("gathered %v, want 1 to 3", first)
	}
	rest := gather(<-waiting, waiting, 10)
	if len(rest) != 3 || rest[0].tag != 4 || rest[2].tag != 6 {
		t.Errorf("gathered %v, want 4 to 6 and no waiting for more", rest)
	}
	if alone := gather(Delivery{tag: 7}, waiting, 1); len(alone) != 1 {
		t.Errorf("gathered %v, want one", alone)
	}
	close(waiting)
	if last := gather(Delivery{tag: 8}, waiting, 3); len(last) != 1 {
		t.Errorf("gathered %v from a closed channel, want one", last)
	}
}
