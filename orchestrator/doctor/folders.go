package doctor

import (
	"os"
)

// What must be free at least, and what should be.
const (
	leastFree  = 200e6 // a run of the example writes a few megabytes; images more
	enoughFree = 2e9   // the images of a small system
)

// folders says whether runs can write where they must, and whether there is
// room.
func (c Case) folders(connected Engine) []Finding {
	var found []Finding
	for _, folder := range c.Folders {
		if err := writable(folder.Path); err != nil {
			found = append(found, Finding{
				Subject: "disk", Health: Fails, Text: folder.Path + " (" + folder.Holds + ") cannot be written: " + err.Error(),
				Fix: "make it writable for this user, or name another by " + folder.Variable,
			})
			continue
		}
		found = append(found, c.room(folder))
	}
	if connected == nil {
		return found
	}
	// Of an engine elsewhere, this folder is on another machine.
	root := Folder{Path: connected.Info().RootDir, Holds: "images and containers"}
	if info, err := os.Stat(root.Path); root.Path != "" && err == nil && info.IsDir() {
		found = append(found, c.room(root))
	}
	return found
}

// writable makes a file and removes it.
func writable(folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	file, err := os.CreateTemp(folder, ".killpoint-doctor-")
	if err != nil {
		return err
	}
	file.Close()
	return os.Remove(file.Name())
}

func (c Case) room(folder Folder) Finding {
	found := Finding{Subject: "disk"}
	free, err := c.Free(folder.Path)
	if err != nil {
		found.Health, found.Text = Limited, "how much is free in "+folder.Path+" is not known: "+err.Error()
		return found
	}
	found.Text = gigabytes(free) + " free in " + folder.Path + " (" + folder.Holds + ")"
	switch {
	case free < leastFree:
		found.Health = Fails
	case free < enoughFree:
		found.Health = Limited
	default:
		return found
	}
	found.Fix = "make room: killpoint clean removes what runs have left, docker image prune what no image names"
	return found
}
