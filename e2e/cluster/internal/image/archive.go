// Package image writes container images of one static program each, without a container engine. It pulls nothing and runs
// nothing. The same input gives the same bytes.
package image

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"runtime"
)

// Spec is an image FROM scratch whose only file is the program.
type Spec struct {
	// Names to import it by, each with registry and tag.
	Names []string
	// Binary is the static program's path here; in the image it lies in the root under its own name.
	Binary string
	// User is numeric, because the image has no /etc/passwd.
	User string
	// Arguments that the program gets when the pod gives none.
	Arguments []string
}

type configuration struct {
	Architecture string    `json:"architecture"`
	OS           string    `json:"os"`
	Created      string    `json:"created"`
	Config       execution `json:"config"`
	RootFS       rootFS    `json:"rootfs"`
}

type execution struct {
	User       string   `json:"User"`
	Entrypoint []string `json:"Entrypoint"`
	Cmd        []string `json:"Cmd,omitempty"`
	WorkingDir string   `json:"WorkingDir"`
}

type rootFS struct {
	Type    string   `json:"type"`
	DiffIDs []string `json:"diff_ids"`
}

type manifest struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// Write makes an archive as `docker save` does: manifest, configuration and one layer.
func Write(out io.Writer, spec Spec) error {
	program, err := os.ReadFile(spec.Binary)
	if err != nil {
		return err
	}
	name := filepath.Base(spec.Binary)
	layer, err := archive(file{name, 0o755, program})
	if err != nil {
		return err
	}
	config, err := json.Marshal(configure(spec, name, layer))
	if err != nil {
		return err
	}
	configName, layerName := digest(config)+".json", digest(layer)+".tar"
	listing, err := json.Marshal([]manifest{{Config: configName, RepoTags: spec.Names, Layers: []string{layerName}}})
	if err != nil {
		return err
	}
	whole, err := archive(
		file{"manifest.json", 0o644, listing},
		file{configName, 0o644, config},
		file{layerName, 0o644, layer},
	)
	if err != nil {
		return err
	}
	_, err = out.Write(whole)
	return err
}

func configure(spec Spec, name string, layer []byte) configuration {
	return configuration{
		Architecture: runtime.GOARCH,
		OS:           "linux",
		Created:      "1970-01-01T00:00:00Z",
		Config:       execution{User: spec.User, Entrypoint: []string{"/" + name}, Cmd: spec.Arguments, WorkingDir: "/"},
		RootFS:       rootFS{Type: "layers", DiffIDs: []string{"sha256:" + digest(layer)}},
	}
}

type file struct {
	name string
	mode int64
	text []byte
}

// archive leaves owner and times at zero: root owns the files, and nothing depends on when they were made.
func archive(files ...file) ([]byte, error) {
	buffer := &bytes.Buffer{}
	writer := tar.NewWriter(buffer)
	for _, file := range files {
		header := &tar.Header{Name: file.name, Mode: file.mode, Size: int64(len(file.text))}
		if err := writer.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := writer.Write(file.text); err != nil {
			return nil, err
		}
	}
	err := writer.Close()
	return buffer.Bytes(), err
}

func digest(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}
