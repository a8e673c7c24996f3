// Package report renders what happened: progress while a run goes on, and its
// result afterwards on the console, as a page for a browser, as JSON, as JUnit
// XML and as annotations of GitHub Actions; and the same of a campaign.
// Everything is computed from a scenario, a history and a verdict, so that a
// saved run can be rendered again.
//
// It judges nothing: whether a run passed is said by package check. It
// decides no exit code: that is said by package cli.
package report
