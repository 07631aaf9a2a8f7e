// `status`: what runs. It only looks.

package main

import (
	"fmt"
	"maps"
	"slices"

	"keyward.dev/e2e/cluster/internal/sandbox"
	"keyward.dev/e2e/cluster/internal/state"
)

// status prints process ids as the machine counts them, so that a test can stop or end a part.
func status(arguments []string) error {
	options := newOptions("status").parse(arguments)
	record, err := running(*options.name)
	if err != nil {
		return err
	}
	parts, err := partsOf(record)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(parts)) {
		fmt.Println(name, parts[name])
	}
	return nil
}

func running(name string) (*state.Record, error) {
	record, err := state.ReadRecord(name)
	if err == nil && (record == nil || !record.Init.Alive()) {
		err = fmt.Errorf("%s is not up", name)
	}
	return record, err
}

func partsOf(record *state.Record) (map[string]int, error) {
	ofInit, err := record.Init.Children()
	if err != nil {
		return nil, err
	}
	supervisor, err := state.Identify(ofInit[sandbox.Supervisor])
	if err != nil {
		return nil, err
	}
	return supervisor.Children()
}
