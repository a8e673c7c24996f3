package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"text/tabwriter"
	"time"
)

const (
	tableRows = 4_000_000 // at most, a contender and cell
	seed      = 6

	// Before the time runs, a contender writes as many rows as it takes until
	// the library's journal has grown to its full size, or for so long.
	warmRows    = 1_400_000
	warmNatural = 600 * time.Millisecond
	warmOne     = 100 * time.Millisecond
)

// result is what one contender did in one cell, a value a round.
type result struct {
	rates  []float64 // rows a second
	groups []float64 // chunks in the middle group
	// Of killpoint, the raw limit and the floor.
	commits int
	took    time.Duration
	uses    [uses]use
}

// results are those of one cell, by contender.
type results map[string]*result

func (r results) add(name string, rate float64, group float64) {
	if r[name] == nil {
		r[name] = &result{}
	}
	r[name].rates = append(r[name].rates, rate)
	r[name].groups = append(r[name].groups, group)
}

// spend adds what a round's commits took.
func (r *result) spend(commits int, took time.Duration, used [uses]use) {
	r.commits += commits
	r.took += took
	for i, u := range used {
		r.uses[i].calls += u.calls
		r.uses[i].took += u.took
	}
}

// ratio compares killpoint with another, round by round.
func (r results) ratio(with string) (spread, bool) {
	if r[nameKillpoint] == nil || r[with] == nil {
		return spread{}, false
	}
	return spreadOf(ratios(r[nameKillpoint].rates, r[with].rates)), true
}

// table measures all contenders in all cells, by turns.
func (b *bench) table(ctx context.Context) (err error) {
	stop, err := b.profile("table.prof")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	rows := tableRows
	if b.quick {
		rows /= 8
	}
	d := newData(rows, seed)
	all := map[cell]results{}
	var measured []cell
	for _, c := range cells() {
		if !b.cells.MatchString(c.String()) {
			continue
		}
		measured = append(measured, c)
		all[c] = results{}
	}
	if len(measured) == 0 {
		return fmt.Errorf("no cell matches -cells %s; there is one such as %q", b.cells, cells()[0])
	}
	err = b.rounded(ctx, d, measured, all)
	// Whoever stops it early sees what there is.
	if err == nil || ctx.Err() != nil {
		b.printTable(measured, all)
		b.printTargets(measured, all)
		b.printUses(measured, all)
	}
	return err
}

// rounded measures every contender in every cell, once a round.
func (b *bench) rounded(ctx context.Context, d *data, measured []cell, all map[cell]results) error {
	for round := range b.rounds {
		for _, c := range measured {
			b.progress("round %d of %d: %s", round+1, b.rounds, c)
			for _, who := range contenders() {
				if err := b.one(ctx, d, c, who, all[c]); err != nil {
					return fmt.Errorf("%s, %s: %w", who.name, c, err)
				}
			}
		}
	}
	return nil
}

// one measures one contender in one cell, and behind killpoint the raw limit
// and the floor.
func (b *bench) one(ctx context.Context, d *data, c cell, who contender, to results) (err error) {
	dir := filepath.Join(b.dir, "cell")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	runtime.GC()
	settle()
	s, err := who.open(dir, c, b.inFlight)
	if err != nil {
		return err
	}
	var o outcome
	run := drive{
		store: s, data: d, rows: c.rows, natural: c.natural, inFlight: b.inFlight,
		limit: d.len()/c.rows - 1, warmUp: warmOne, warmChunks: warmRows / c.rows, time: b.time,
	}
	if c.natural {
		run.warmUp = warmNatural
	}
	if b.quick {
		run.warmUp = min(run.warmUp, b.time)
	}
	library, isLibrary := s.(*killpointStore)
	if isLibrary {
		run.warm = library.disk.reset
	}
	pprof.Do(ctx, pprof.Labels("contender", who.name, "cell", c.String()), func(ctx context.Context) {
		o, err = run.run(ctx)
	})
	var noted trace
	var used [uses]use
	if isLibrary {
		noted, used = library.disk.noted()
	}
	if err := errors.Join(err, s.close()); err != nil {
		return err
	}
	if o.rows == 0 {
		return errors.New("the rows were used up before the warm-up had ended; give -time less")
	}
	if err := check(who, c, dir, d, o.chunks); err != nil {
		return fmt.Errorf("the result is wrong: %w", err)
	}
	group := middle(o.groups)
	to.add(who.name, o.rate(), group)
	if !isLibrary {
		return nil
	}
	to[nameKillpoint].spend(len(o.groups), o.elapsed, used)
	for _, limit := range []string{nameRaw, nameFloor} {
		settle()
		elapsed, err := raw(dir, d, noted, c.durability == power, limit == nameFloor)
		if err != nil {
			return err
		}
		to.add(limit, float64(o.rows)/elapsed.Seconds(), group)
		to[limit].spend(len(noted.groups), elapsed, [uses]use{})
	}
	return nil
}

// middle is the median group.
func middle(groups []int) float64 {
	list := make([]float64, len(groups))
	for i, n := range groups {
		list[i] = float64(n)
	}
	return spreadOf(list).median
}

func (b *bench) printTable(measured []cell, all map[cell]results) {
	fmt.Fprintf(b.out, "\nRows of %d bytes, %d chunks in flight; group: chunks in the median commit; ratio: killpoint to it, round by round.\n", rowBytes, b.inFlight)
	names := []string{nameRaw, nameFloor}
	for _, who := range contenders() {
		fmt.Fprintf(b.out, "  %-10s  %s\n", who.name, who.what)
		names = append(names, who.name)
	}
	fmt.Fprintf(b.out, "  %-10s  killpoint's journal records, in the groups that came about, written to a file that was there before; power: each synced\n", nameRaw)
	fmt.Fprintf(b.out, "  %-10s  the raw limit, with each group's rows written to their files beside the sync, and the files synced in the background where the journal was full: the least that a journal in front of partition files asks of a disk\n\n", nameFloor)
	w := tabwriter.NewWriter(b.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "durability\tbatching\trows/chunk\tpartitions\twho\trows/s\tlowest\thighest\tMB/s\tgroup\tratio\t")
	for _, c := range measured {
		for _, name := range names {
			r := all[c][name]
			if r == nil {
				continue
			}
			rate := spreadOf(r.rates)
			ratio, _ := all[c].ratio(name)
			fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", c.durability, c.batching(), c.rows, c.partitions, name,
				count(rate.median), count(rate.low), count(rate.high), threeDigits(rate.median*rowBytes/1e6),
				count(spreadOf(r.groups).median), threeDigits(ratio.median))
		}
		fmt.Fprintln(w, "\t\t\t\t\t\t\t\t\t\t\t")
	}
	_ = w.Flush()
}

// aim is a target of the table: killpoint beside another, in some cells.
type aim struct {
	with    string
	applies func(cell) bool
	target
}

func aims() []aim {
	natural := func(c cell) bool { return c.durability == power && c.natural }
	one := func(c cell) bool { return c.durability == power && !c.natural }
	inProcess := func(c cell) bool { return c.durability == process }
	return []aim{
		{nameStateFile, natural, target{least: 10}},
		{nameBolt, natural, target{least: 1}},
		{nameSQLite, natural, target{least: 1}},
		{namePebble, natural, target{least: 1}},
		{nameRaw, natural, target{least: 0.6, percent: true}},
		{nameRaw, one, target{least: 0.6, percent: true}},
		{nameAppend, inProcess, target{least: 0.7, percent: true}},
	}
}

func (b *bench) printTargets(measured []cell, all map[cell]results) {
	w := tabwriter.NewWriter(b.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "target\tdurability\tbatching\trows/chunk\tpartitions\tmeasured\tlowest\thighest")
	for _, a := range aims() {
		for _, c := range measured {
			ratio, there := all[c].ratio(a.with)
			if !a.applies(c) || !there {
				continue
			}
			fmt.Fprintf(w, "%s of %s\t%s\t%s\t%d\t%d\t%s\t%s\t%s\n", a.target, a.with, c.durability, c.batching(), c.rows, c.partitions,
				a.judge(ratio.median), threeDigits(ratio.low), threeDigits(ratio.high))
		}
	}
	_ = w.Flush()
}

// profile writes a CPU profile until what it returns is called.
func (b *bench) profile(name string) (stop func() error, err error) {
	if b.profiles == "" {
		return func() error { return nil }, nil
	}
	return startProfile(filepath.Join(b.profiles, name))
}

func startProfile(name string) (stop func() error, err error) {
	file, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(file); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		return file.Close()
	}, nil
}
