// The flags of all commands.

package main

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"time"

	"keyward.dev/e2e/cluster/internal/image"
	"keyward.dev/e2e/cluster/internal/parts"
	"keyward.dev/e2e/cluster/internal/state"
)

const (
	defaultName     = "keyward-e2e"
	defaultDir      = "target/cluster"
	defaultPatience = 2 * time.Minute
)

// options are the flags of every command that concerns a cluster.
type options struct {
	set       *flag.FlagSet
	name      *string
	dir       *string
	bin       *string
	bodies    *bool
	patience  *time.Duration
	arguments []string
}

func newOptions(command string) *options {
	set := flag.NewFlagSet("keyward-cluster "+command, flag.ExitOnError)
	return &options{set: set, name: set.String("name", defaultName, "name of the cluster and of its network namespace")}
}

// withStart adds the flags that only a start needs: later commands read the directories from the cluster's record.
func (o *options) withStart() *options {
	o.dir = o.set.String("dir", defaultDir, "directory for all that the cluster writes")
	o.bin = o.set.String("bin", besideProgram(), "directory of what build.sh made")
	o.bodies = o.set.Bool("audit", false, "log the bodies of requests and answers in logs/audit.log, not only who did what")
	o.patience = o.set.Duration("patience", defaultPatience, "how long the start may take")
	return o
}

func (o *options) parse(arguments []string) *options {
	// ExitOnError: it does not return one.
	_ = o.set.Parse(arguments)
	o.arguments = o.set.Args()
	return o
}

func (o *options) cluster() (state.Cluster, error) {
	if os.Geteuid() != 0 {
		return state.Cluster{}, errors.New("needs root: it makes namespaces and mounts")
	}
	return state.New(*o.name, *o.dir, *o.bin)
}

func (o *options) audit() parts.AuditPolicy {
	if *o.bodies {
		return parts.AuditBodies
	}
	return parts.AuditMetadata
}

func besideProgram() string {
	program, err := os.Executable()
	if err != nil {
		return "."
	}
	return filepath.Dir(program)
}

func imageFlags(arguments []string) (image.Spec, string) {
	spec := image.Spec{}
	set := flag.NewFlagSet("keyward-cluster image", flag.ExitOnError)
	set.Func("name", "name of the image, with registry and tag; more than one is possible", appendTo(&spec.Names))
	set.StringVar(&spec.Binary, "binary", "", "the static program")
	set.StringVar(&spec.User, "user", "65532", "numeric user")
	set.Func("arg", "argument of the program; more than one is possible", appendTo(&spec.Arguments))
	output := set.String("o", "", "the archive to write")
	// ExitOnError: it does not return one.
	_ = set.Parse(arguments)
	return spec, *output
}

func appendTo(list *[]string) func(string) error {
	return func(value string) error {
		*list = append(*list, value)
		return nil
	}
}
