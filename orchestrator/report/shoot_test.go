package report

import (
	"flag"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

var (
	shoot     = flag.String("shoot", "", "take pictures of these pages, as page,width,height[,dark],picture; several are parted by spaces")
	shootFrom = flag.String("shoot-after", "", "a script that is run on each page before its picture is taken")
)

// TestShoot takes pictures of pages, for people to look at.
func TestShoot(t *testing.T) {
	if *shoot == "" {
		t.Skip("nothing to take a picture of (-shoot)")
	}
	b := openBrowser(t)
	for _, one := range strings.Fields(*shoot) {
		parts := strings.Split(one, ",")
		page, err := filepath.Abs(parts[0])
		if err != nil {
			t.Fatal(err)
		}
		b.open(page, number64(t, parts[1]), number64(t, parts[2]), parts[3] == "dark")
		if *shootFrom != "" {
			eval[bool](b, *shootFrom+"; true")
		}
		b.shoot(parts[len(parts)-1])
	}
	b.quiet()
}

func number64(t *testing.T, text string) int64 {
	t.Helper()
	number, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return number
}
