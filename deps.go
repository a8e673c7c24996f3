//go:build deps

package killpoint

import (
	_ "github.com/compose-spec/compose-go/v2/cli"
	_ "github.com/docker/docker/client"
	_ "github.com/docker/docker/pkg/stdcopy"
	_ "github.com/google/uuid"
	_ "github.com/rabbitmq/amqp091-go"
	_ "github.com/spf13/cobra"
	_ "github.com/spf13/pflag"
	_ "golang.org/x/sync/errgroup"
	_ "golang.org/x/sys/unix"
	_ "golang.org/x/term"
	_ "gopkg.in/yaml.v3"
	_ "pgregory.net/rapid"
	_ "github.com/opencontainers/image-spec/specs-go/v1"
	_ "github.com/docker/go-connections/nat"
	_ "github.com/google/go-cmp/cmp"
	_ "github.com/bmatcuk/doublestar/v4"
)
