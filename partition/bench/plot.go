package main

import (
	"bytes"
	"fmt"
	"math"
	"strings"
)

// plotGrowth draws two charts beside each other: how fast the next rows are
// written, and how long opening takes, each against the rows held. Colours
// follow the reader's choice of light or dark.
func plotGrowth(to scale, speeds speeds, openings []opening) []byte {
	var out bytes.Buffer
	fmt.Fprintf(&out, plotBegin, plotWidth, plotHeight)

	var x, low, median, high []float64
	for i, rates := range speeds {
		s := spreadOf(rates)
		x = append(x, float64(i*to.step))
		low, median, high = append(low, s.low), append(median, s.median), append(high, s.high)
	}
	speed := newChart(56, x, high, fmt.Sprintf("rows/s of the next %s rows", count(float64(to.step))))
	speed.frame(&out, func(v float64) string { return count(v) })
	speed.band(&out, x, low, high)
	speed.line(&out, "first", x, median)

	var series [2]struct{ x, y []float64 }
	for _, o := range openings {
		at := &series[0]
		if o.killed {
			at = &series[1]
		}
		at.x, at.y = append(at.x, float64(o.rows)), append(at.y, 1e3*spreadOf(o.times).median)
	}
	open := newChart(56+plotWidth/2, append(series[0].x, series[1].x...), append(series[0].y, series[1].y...), "opening, ms")
	open.frame(&out, func(v float64) string { return fmt.Sprintf("%g", v) })
	for i, name := range []string{"after a checkpoint", "after a kill"} {
		class := []string{"first", "second"}[i]
		open.line(&out, class, series[i].x, series[i].y)
		for j := range series[i].x {
			px, py := open.at(series[i].x[j], series[i].y[j])
			fmt.Fprintf(&out, `<circle class="%s dot" cx="%.1f" cy="%.1f" r="3"/>`+"\n", class, px, py)
		}
		// The legend stands in the title's line, at its right end.
		px := open.left + open.width - 226 + float64(i)*138
		fmt.Fprintf(&out, `<path class="%s" d="M%.1f 20h14"/><text x="%.1f" y="24">%s</text>`+"\n", class, px, px+18, name)
	}
	out.WriteString("</svg>\n")
	return out.Bytes()
}

const (
	plotWidth, plotHeight = 860, 260
	plotTop, plotBottom   = 40, 222
)

const plotBegin = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %[1]d %[2]d" width="%[1]d" height="%[2]d" role="img" aria-label="Speed and opening time against the rows held">
<style>
  text { font: 12px system-ui, sans-serif; fill: #57606a }
  .title { font-weight: 600; fill: #1f2328 }
  .end { text-anchor: end } .middle { text-anchor: middle }
  .paper { fill: #ffffff } .grid { stroke: #d8dee4 }
  .first { fill: none; stroke: #0969da; stroke-width: 2 } .band { fill: #0969da; opacity: .18 }
  .second { fill: none; stroke: #bc4c00; stroke-width: 2 }
  .first.dot { fill: #0969da } .second.dot { fill: #bc4c00 }
  @media (prefers-color-scheme: dark) {
    text { fill: #9198a1 } .title { fill: #f0f6fc } .paper { fill: #0d1117 } .grid { stroke: #30363d }
    .first { stroke: #4493f8 } .band { fill: #4493f8 } .second { stroke: #f0883e }
    .first.dot { fill: #4493f8 } .second.dot { fill: #f0883e }
  }
</style>
<rect class="paper" width="100%%" height="100%%"/>
`

// chart is a frame with scales that begin at zero.
type chart struct {
	left, width float64
	xMax, yMax  float64
	xStep       float64
	title       string
}

func newChart(left float64, x, y []float64, title string) chart {
	c := chart{left: left, width: plotWidth/2 - 76, title: title}
	for i := range x {
		c.xMax, c.yMax = max(c.xMax, x[i]), max(c.yMax, y[i])
	}
	c.xMax, c.yMax = max(c.xMax, 1), max(c.yMax, 1e-9)
	c.xStep = niceStep(c.xMax)
	c.yMax = math.Ceil(c.yMax/niceStep(c.yMax)) * niceStep(c.yMax)
	return c
}

// niceStep is a round number that goes into most four to eight times.
func niceStep(most float64) float64 {
	unit := math.Pow(10, math.Floor(math.Log10(most)))
	for _, step := range []float64{0.2, 0.25, 0.5, 1, 2} {
		if most/(step*unit) <= 6 {
			return step * unit
		}
	}
	return unit
}

func (c chart) at(x, y float64) (px, py float64) {
	return c.left + x/c.xMax*c.width, plotBottom - y/c.yMax*(plotBottom-plotTop)
}

func (c chart) frame(out *bytes.Buffer, label func(float64) string) {
	fmt.Fprintf(out, `<text class="title" x="%.1f" y="24">%s</text>`+"\n", c.left, c.title)
	step := niceStep(c.yMax)
	for i := range int(math.Round(c.yMax/step)) + 1 {
		y := float64(i) * step
		px, py := c.at(0, y)
		text := "0"
		if i > 0 {
			text = label(y)
		}
		fmt.Fprintf(out, `<path class="grid" d="M%.1f %.1fh%.1f"/><text class="end" x="%.1f" y="%.1f">%s</text>`+"\n", px, py, c.width, px-6, py+4, text)
	}
	for x := 0.0; x <= c.xMax*1.0001; x += c.xStep {
		px, _ := c.at(x, 0)
		text := "0"
		if x > 0 {
			text = strings.Replace(count(x), ".00", "", 1)
			text = strings.Replace(text, ".0", "", 1)
		}
		fmt.Fprintf(out, `<text class="middle" x="%.1f" y="%d">%s</text>`+"\n", px, plotBottom+18, text)
	}
	fmt.Fprintf(out, `<text class="middle" x="%.1f" y="%d">rows held</text>`+"\n", c.left+c.width/2, plotBottom+34)
}

func (c chart) points(x, y []float64) string {
	var list []string
	for i := range x {
		px, py := c.at(x[i], y[i])
		list = append(list, fmt.Sprintf("%.1f %.1f", px, py))
	}
	return strings.Join(list, "L")
}

func (c chart) line(out *bytes.Buffer, class string, x, y []float64) {
	fmt.Fprintf(out, `<path class="%s" d="M%s"/>`+"\n", class, c.points(x, y))
}

// band fills what lies between two lines.
func (c chart) band(out *bytes.Buffer, x, low, high []float64) {
	var backX, backLow []float64
	for i := len(x) - 1; i >= 0; i-- {
		backX, backLow = append(backX, x[i]), append(backLow, low[i])
	}
	fmt.Fprintf(out, `<path class="band" d="M%sL%sZ"/>`+"\n", c.points(x, high), c.points(backX, backLow))
}
