// Package supervisor is the interposer: the first process of a targeted container, which runs the original command as its child and holds it at exact system calls by seccomp user notification.
//
// It counts and acts as a plan says and reports what happened. What a point is for, and whether the container is killed then, is for the orchestrator to decide; the package interpose is the protocol between the two.
package supervisor
