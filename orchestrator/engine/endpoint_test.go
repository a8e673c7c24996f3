package engine

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/registry"
)

// dockerConfig makes a folder of settings of the docker command.
func dockerConfig(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("DOCKER_CONFIG", dir)
	t.Setenv("DOCKER_CONTEXT", "")
	t.Setenv("DOCKER_HOST", "")
	return dir
}

func contextMeta(name string) string {
	sum := sha256.Sum256([]byte(name))
	return "contexts/meta/" + hex.EncodeToString(sum[:]) + "/meta.json"
}

func TestEndpointOfAContext(t *testing.T) {
	dockerConfig(t, map[string]string{
		"config.json":            `{"currentContext": "far"}`,
		contextMeta("far"):       `{"Name": "far", "Endpoints": {"docker": {"Host": "unix:///far.sock"}}}`,
		contextMeta("near"):      `{"Name": "near", "Endpoints": {"docker": {"Host": "unix:///near.sock"}}}`,
		contextMeta("tunnel"):    `{"Name": "tunnel", "Endpoints": {"docker": {"Host": "ssh://user@host"}}}`,
		contextMeta("no-docker"): `{"Name": "no-docker", "Endpoints": {}}`,
	})
	for _, test := range []struct{ context, host, want string }{
		{"", "", "/far.sock"},
		{"near", "", "/near.sock"},
		{"near", "unix:///host.sock", "/host.sock"},
		{"default", "", "docker.sock"},
		{"tunnel", "", "ssh connections"},
		{"", "ssh://user@host", "ssh connections"},
		{"gone", "", "docker context ls"},
		{"no-docker", "", "names no docker endpoint"},
	} {
		t.Setenv("DOCKER_CONTEXT", test.context)
		t.Setenv("DOCKER_HOST", test.host)
		if test.context == "default" {
			at, err := findEndpoint()
			if err != nil || at.name != "the default socket" {
				t.Errorf("context default: %+v, error %v", at, err)
			}
			continue
		}
		_, err := Connect(context.Background())
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("context %q, host %q: error %v, want one with %q", test.context, test.host, err, test.want)
		}
	}
}

func TestBrokenSettings(t *testing.T) {
	dockerConfig(t, map[string]string{"config.json": `{"currentContext": `})
	if _, err := Connect(context.Background()); err == nil || !strings.Contains(err.Error(), "config.json") {
		t.Errorf("error %v, want one that names the file", err)
	}
}

func TestLogin(t *testing.T) {
	auth := base64.StdEncoding.EncodeToString([]byte("user:pass:word"))
	dir := dockerConfig(t, map[string]string{
		"config.json": fmt.Sprintf(`{
			"auths": {"https://index.%s/v1/": {"auth": %q}, "registry.test:5000": {"identitytoken": "token"}},
			"credHelpers": {"helped.test": "kpe", "refused.test": "kpe"}}`, defaultDomain(t), auth),
		"bin/docker-credential-kpe": `#!/bin/sh
read -r key
case $key in
helped.test) echo '{"Username": "helper", "Secret": "s3"}' ;;
*) echo 'credentials not found in native keychain'; exit 1 ;;
esac
`,
	})
	t.Setenv("PATH", filepath.Join(dir, "bin")+":"+os.Getenv("PATH"))
	e := &Engine{configDir: dir}
	for image, want := range map[string]registry.AuthConfig{
		"plain:1":                  {Username: "user", Password: "pass:word"},
		"registry.test:5000/app:1": {IdentityToken: "token"},
		"helped.test/app":          {Username: "helper", Password: "s3"},
		"refused.test/app":         {},
		"unknown.test/app":         {},
	} {
		encoded, err := e.encodedLogin(context.Background(), image)
		if err != nil {
			t.Errorf("%s: %v", image, err)
			continue
		}
		var got registry.AuthConfig
		if encoded != "" {
			text, err := base64.URLEncoding.DecodeString(encoded)
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(text, &got); err != nil {
				t.Fatal(err)
			}
		}
		got.ServerAddress = ""
		if got != want {
			t.Errorf("%s: login %+v, want %+v", image, got, want)
		}
	}
	if _, err := e.encodedLogin(context.Background(), "NOT A REFERENCE"); err == nil {
		t.Error("no error for what is no reference")
	}
}

// defaultDomain is the registry of images that name none.
func defaultDomain(t *testing.T) string {
	t.Helper()
	key := loginKey("elsewhere.test")
	if key != "elsewhere.test" {
		t.Fatalf("key of another registry: %s", key)
	}
	domain, err := domainOf("any")
	if err != nil {
		t.Fatal(err)
	}
	return domain
}
