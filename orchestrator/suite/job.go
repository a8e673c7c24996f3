package suite

import "fmt"

// Job is one run of one scenario under a name that no other run of the suite
// has.
type Job struct {
	Loaded
	Name string
	// Folder is where the run is saved, whatever its outcome; empty: in the
	// suite's folder, below its name.
	Folder string
	// Replay is the command that runs it again; empty: that of the scenario.
	Replay string
}

// Jobs repeats the scenarios, all of them once before any of them again, so
// that the repetitions of one run side by side least of all. A name that
// occurs more than once gets a number: restart.1, restart.2.
func Jobs(scenarios []Loaded, repeat int) []Job {
	var jobs []Job
	count := map[string]int{}
	for range repeat {
		for _, one := range scenarios {
			count[one.Scenario.Name]++
			jobs = append(jobs, Job{Loaded: one, Name: one.Scenario.Name})
		}
	}
	taken := map[string]bool{}
	for name, times := range count {
		taken[FolderName(name)] = times == 1
	}
	for index := range jobs {
		plain := jobs[index].Name
		if count[plain] == 1 {
			continue
		}
		for number := 1; ; number++ {
			name := fmt.Sprintf("%s.%d", plain, number)
			if !taken[FolderName(name)] {
				taken[FolderName(name)] = true
				jobs[index].Name = name
				break
			}
		}
		// A copy, since the other repetitions have another name.
		renamed := *jobs[index].Scenario
		renamed.Name = jobs[index].Name
		jobs[index].Scenario = &renamed
	}
	return jobs
}
