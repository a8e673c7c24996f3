package engine

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// A registry that has one image. The engine takes registries of its own
// machine without encryption; an engine elsewhere cannot reach this one.
func TestInRegistry(t *testing.T) {
	ctx, e := with(t)
	if !strings.HasPrefix(e.Host(), "unix://") {
		t.Skip("the engine is on another machine")
	}
	const manifest = `{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json",` +
		`"config":{"mediaType":"application/vnd.docker.container.image.v1+json","size":2,"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"},"layers":[]}`
	digest := fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(manifest)))
	server := httptest.NewServer(http.HandlerFunc(func(answer http.ResponseWriter, request *http.Request) {
		switch request.URL.Path {
		case "/v2/":
		case "/v2/kpe/there/manifests/1", "/v2/kpe/there/manifests/" + digest:
			answer.Header().Set("Docker-Content-Digest", digest)
			answer.Header().Set("Content-Type", "application/vnd.docker.distribution.manifest.v2+json")
			fmt.Fprint(answer, manifest)
		case "/v2/kpe/there/blobs/sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a":
			fmt.Fprint(answer, "{}")
		default:
			answer.Header().Set("Content-Type", "application/json")
			answer.WriteHeader(http.StatusNotFound)
			fmt.Fprint(answer, `{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}`)
		}
	}))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	if err := e.InRegistry(ctx, host+"/kpe/there:1"); err != nil {
		t.Errorf("an image that is there: %v", err)
	}
	if err := e.InRegistry(ctx, host+"/kpe/gone:1"); !errors.Is(err, ErrNoImage) {
		t.Errorf("an image that is not there: %v", err)
	}
	bounded, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	err := e.InRegistry(bounded, "127.0.0.1:1/kpe/nowhere:1")
	if !errors.Is(err, ErrNoRegistry) || errors.Is(err, ErrNoImage) || bounded.Err() != nil {
		t.Errorf("a registry that is not there: %v", err)
	}
}
