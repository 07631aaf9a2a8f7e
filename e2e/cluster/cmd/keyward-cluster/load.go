// `load` and `image`: image archives into the cluster, and onto the disk.

package main

import (
	"context"
	"errors"
	"os"

	"keyward.dev/e2e/cluster/internal/image"
)

func load(arguments []string) error {
	options := newOptions("load").parse(arguments)
	if len(options.arguments) == 0 {
		return errors.New("name at least one image archive")
	}
	record, err := running(*options.name)
	if err != nil {
		return err
	}
	return image.Load(context.Background(), record.Cluster.ContainerdSocket(), options.arguments)
}

func writeImage(arguments []string) error {
	spec, output := imageFlags(arguments)
	if len(spec.Names) == 0 || spec.Binary == "" || output == "" {
		return errors.New("needs -name, -binary and -o")
	}
	file, err := os.Create(output)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := image.Write(file, spec); err != nil {
		return err
	}
	return file.Close()
}
