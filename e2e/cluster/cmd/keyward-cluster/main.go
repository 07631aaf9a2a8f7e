// Package main is the command `keyward-cluster`: a real one-node Kubernetes for tests, on a machine without Docker.
package main

import (
	"fmt"
	"os"
)

const usage = `usage: keyward-cluster COMMAND [flags]

  up      start the cluster, or do nothing if it is up; prints the kubeconfig's path
  down    end the cluster, or what a crash left of it
  status  list the parts and their process ids; fails if the cluster is not up
  load    import image archives into the cluster
  image   write an image archive from one static program
`

// commands by name. The last two are how the program calls itself inside the sandbox.
var commands = map[string]func(arguments []string) error{
	"up":        up,
	"down":      down,
	"status":    status,
	"load":      load,
	"image":     writeImage,
	"init":      runInit,
	"supervise": runSupervisor,
}

func main() {
	if len(os.Args) < 2 {
		fail(2, usage)
	}
	command, known := commands[os.Args[1]]
	if !known {
		fail(2, usage)
	}
	if err := command(os.Args[2:]); err != nil {
		fail(1, fmt.Sprintf("keyward-cluster %s: %v\n", os.Args[1], err))
	}
}

func fail(code int, message string) {
	fmt.Fprint(os.Stderr, message)
	os.Exit(code)
}
