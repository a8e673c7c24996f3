package report

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// campaignFile is the name of a campaign's document in its folder.
const campaignFile = "campaign.json"

// SaveCampaign writes a campaign into a folder: as JSON, as JUnit XML, and as
// a page for people.
func SaveCampaign(folder string, campaign *Campaign) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("save campaign: %w", err)
	}
	write := func(name string, form func(io.Writer, *Campaign) error) error {
		return WriteFile(filepath.Join(folder, name), func(to io.Writer) error { return form(to, campaign) })
	}
	err := errors.Join(write(campaignFile, WriteCampaignJSON), write("junit.xml", WriteCampaignJUnit), write(pageFile, WriteCampaignHTML))
	if err != nil {
		return fmt.Errorf("save campaign: %w", err)
	}
	return nil
}

// campaignPath is the document of a campaign that is named by its folder or by
// the file itself.
func campaignPath(place string) string {
	if info, err := os.Stat(place); err == nil && info.IsDir() {
		return filepath.Join(place, campaignFile)
	}
	return place
}

// HoldsCampaign says whether a place is a campaign: a file, or a folder that
// SaveCampaign wrote.
func HoldsCampaign(place string) bool {
	info, err := os.Stat(campaignPath(place))
	return err == nil && !info.IsDir()
}

// LoadCampaign reads a campaign from its folder or file.
func LoadCampaign(place string) (*Campaign, error) {
	opened, err := os.Open(campaignPath(place))
	if err != nil {
		return nil, fmt.Errorf("load campaign: %w", err)
	}
	defer opened.Close()
	campaign, err := ReadCampaign(opened)
	if err != nil {
		return nil, fmt.Errorf("load campaign %s: %w", opened.Name(), err)
	}
	return campaign, nil
}
