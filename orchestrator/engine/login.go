package engine

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"

	"github.com/distribution/reference"
	"github.com/docker/docker/api/types/registry"
)

// storedLogin is a login as `docker login` keeps it in config.json.
type storedLogin struct {
	Auth          string `json:"auth"` // base64 of user:password
	IdentityToken string `json:"identitytoken"`
	RegistryToken string `json:"registrytoken"`
}

// encodedLogin gives the login for an image's registry in the API's form;
// empty when there is none.
func (e *Engine) encodedLogin(ctx context.Context, image string) (string, error) {
	domain, err := domainOf(image)
	if err != nil {
		return "", err
	}
	key := loginKey(domain)
	config, err := readSettings(e.configDir)
	if err != nil {
		return "", err
	}
	login, found, err := config.login(ctx, key)
	if err != nil || !found {
		return "", err
	}
	return registry.EncodeAuthConfig(login)
}

// domainOf is the registry that an image comes from.
func domainOf(image string) (string, error) {
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return "", fmt.Errorf("read image reference: %w", err)
	}
	return reference.Domain(named), nil
}

// loginKey is the name under which the docker command keeps the login of a
// registry: its host, except for the default one, which has an older name.
func loginKey(domain string) string {
	if usual, err := domainOf("any"); err == nil && usual == domain {
		return "https://index." + domain + "/v1/"
	}
	return domain
}

// login looks in the helper for this registry, then in the general store,
// then in the file itself.
func (s settings) login(ctx context.Context, key string) (registry.AuthConfig, bool, error) {
	helper := s.CredsStore
	if special := s.CredHelpers[key]; special != "" {
		helper = special
	}
	if helper != "" {
		return loginFromHelper(ctx, helper, key)
	}
	for _, spelt := range []string{key, "https://" + key, "http://" + key} {
		stored, ok := s.Auths[spelt]
		if !ok {
			continue
		}
		login := registry.AuthConfig{IdentityToken: stored.IdentityToken, RegistryToken: stored.RegistryToken, ServerAddress: key}
		if stored.Auth != "" {
			decoded, err := base64.StdEncoding.DecodeString(stored.Auth)
			if err != nil {
				return login, false, fmt.Errorf("read the stored login for %s: %w", key, err)
			}
			login.Username, login.Password, _ = strings.Cut(strings.TrimRight(string(decoded), "\x00"), ":")
		}
		return login, true, nil
	}
	return registry.AuthConfig{}, false, nil
}

// loginFromHelper speaks the credential helper protocol: the registry on
// standard input, a JSON answer on standard output.
func loginFromHelper(ctx context.Context, helper, key string) (registry.AuthConfig, bool, error) {
	command := exec.CommandContext(ctx, "docker-credential-"+helper, "get")
	command.Stdin = strings.NewReader(key)
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); err != nil {
		// A helper says on standard output that it knows no such login.
		if strings.Contains(stdout.String(), "credentials not found") {
			return registry.AuthConfig{}, false, nil
		}
		return registry.AuthConfig{}, false, fmt.Errorf("ask credential helper %s: %w: %s", helper, err,
			strings.TrimSpace(stdout.String()+stderr.String()))
	}
	var answer struct{ Username, Secret string }
	if err := json.Unmarshal(stdout.Bytes(), &answer); err != nil {
		return registry.AuthConfig{}, false, fmt.Errorf("read the answer of credential helper %s: %w", helper, err)
	}
	login := registry.AuthConfig{Username: answer.Username, Password: answer.Secret, ServerAddress: key}
	if answer.Username == "<token>" {
		login = registry.AuthConfig{IdentityToken: answer.Secret, ServerAddress: key}
	}
	return login, true, nil
}
