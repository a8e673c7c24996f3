// Package interpose is the protocol between the orchestrator and the interposer: the plan that the interposer is started with, the events that it reports, the commands that it takes, and how its binary and plan get into a container.
//
// The interposer itself, which holds a program at exact system calls, is the package supervisor below this one; it runs inside the targeted container as its first process. This package runs on the orchestrator's side, on any operating system, and knows neither Docker nor scenarios: engine carries the bytes, run decides what to do at a point.
package interpose
