package engine

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/docker/docker/client"
)

// endpoint is where the engine listens and how to talk to it.
type endpoint struct {
	name      string
	options   []client.Opt
	configDir string
}

// settings is the part of the docker command's config.json that is used here.
type settings struct {
	CurrentContext string                 `json:"currentContext"`
	Auths          map[string]storedLogin `json:"auths"`
	CredsStore     string                 `json:"credsStore"`
	CredHelpers    map[string]string      `json:"credHelpers"`
}

// findEndpoint follows the docker command's order: DOCKER_HOST beats
// DOCKER_CONTEXT, which beats the current context of config.json.
func findEndpoint() (endpoint, error) {
	at := endpoint{name: "the default socket", options: []client.Opt{client.FromEnv}, configDir: dockerConfigDir()}
	if host := os.Getenv(client.EnvOverrideHost); host != "" {
		at.name = host
		if strings.HasPrefix(host, "ssh://") {
			return at, errNoSSH(host)
		}
		return at, nil
	}
	name := os.Getenv("DOCKER_CONTEXT")
	if name == "" {
		config, err := readSettings(at.configDir)
		if err != nil {
			return at, err
		}
		name = config.CurrentContext
	}
	if name == "" || name == "default" {
		return at, nil
	}
	return contextEndpoint(at.configDir, name)
}

func dockerConfigDir() string {
	if dir := os.Getenv("DOCKER_CONFIG"); dir != "" {
		return dir
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return filepath.Join(home, ".docker")
}

func readSettings(dir string) (settings, error) {
	var config settings
	text, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if errors.Is(err, fs.ErrNotExist) || dir == "" {
		return config, nil
	}
	if err != nil {
		return config, fmt.Errorf("read docker settings: %w", err)
	}
	if err := json.Unmarshal(text, &config); err != nil {
		return config, fmt.Errorf("read docker settings %s: %w", filepath.Join(dir, "config.json"), err)
	}
	return config, nil
}

// contextEndpoint reads a context from the docker command's store, where its
// folder is named after the SHA-256 of the context's name.
func contextEndpoint(configDir, name string) (endpoint, error) {
	sum := sha256.Sum256([]byte(name))
	folder := hex.EncodeToString(sum[:])
	at := endpoint{configDir: configDir}
	text, err := os.ReadFile(filepath.Join(configDir, "contexts", "meta", folder, "meta.json"))
	if err != nil {
		return at, fmt.Errorf("read docker context %q (`docker context ls` shows all): %w", name, err)
	}
	var meta struct {
		Endpoints map[string]struct {
			Host string
		}
	}
	if err := json.Unmarshal(text, &meta); err != nil {
		return at, fmt.Errorf("read docker context %q: %w", name, err)
	}
	host := meta.Endpoints["docker"].Host
	at.name = fmt.Sprintf("%s (docker context %s)", host, name)
	switch {
	case host == "":
		return at, fmt.Errorf("read docker context %q: it names no docker endpoint", name)
	case strings.HasPrefix(host, "ssh://"):
		return at, errNoSSH(host)
	}
	// The host comes first: TLS settings belong to the transport made for it.
	at.options = []client.Opt{client.WithVersionFromEnv(), client.WithHost(host)}
	certificates := filepath.Join(configDir, "contexts", "tls", folder, "docker")
	if _, err := os.Stat(filepath.Join(certificates, "ca.pem")); err == nil {
		at.options = append(at.options, client.WithTLSClientConfig(filepath.Join(certificates, "ca.pem"),
			filepath.Join(certificates, "cert.pem"), filepath.Join(certificates, "key.pem")))
	}
	return at, nil
}

func errNoSSH(host string) error {
	return fmt.Errorf("use %s: killpoint does not open ssh connections; forward the socket (ssh -L) and set DOCKER_HOST to it", host)
}
