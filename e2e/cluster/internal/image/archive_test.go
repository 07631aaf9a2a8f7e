package image

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

func TestTheSameProgramGivesTheSameBytesWheneverItWasBuilt(t *testing.T) {
	spec := Spec{Names: []string{"example.test/a:1"}, Binary: program(t, "a"), User: "65532"}
	first := write(t, spec)
	spec.Binary = program(t, "a")
	if !bytes.Equal(first, write(t, spec)) {
		t.Fatal("two archives of one program differ")
	}
}

func TestTheManifestNamesWhatTheArchiveHolds(t *testing.T) {
	spec := Spec{Names: []string{"example.test/a:1", "example.test/a:2"}, Binary: program(t, "a"), User: "65532"}
	files := read(t, write(t, spec))
	var manifests []manifest
	if err := json.Unmarshal(files["manifest.json"], &manifests); err != nil {
		t.Fatal(err)
	}
	var config configuration
	if err := json.Unmarshal(files[manifests[0].Config], &config); err != nil {
		t.Fatal(err)
	}
	layer := files[manifests[0].Layers[0]]
	if got := string(read(t, layer)["a"]); got != "program" {
		t.Errorf("the layer holds %q", got)
	}
	if config.RootFS.DiffIDs[0] != "sha256:"+digest(layer) || config.Config.Entrypoint[0] != "/a" {
		t.Errorf("configuration %+v does not fit the layer", config)
	}
	if len(manifests[0].RepoTags) != 2 {
		t.Errorf("names %v", manifests[0].RepoTags)
	}
}

func program(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte("program"), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func write(t *testing.T, spec Spec) []byte {
	t.Helper()
	buffer := &bytes.Buffer{}
	if err := Write(buffer, spec); err != nil {
		t.Fatal(err)
	}
	return buffer.Bytes()
}

func read(t *testing.T, archive []byte) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for reader := tar.NewReader(bytes.NewReader(archive)); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[header.Name], err = io.ReadAll(reader); err != nil {
			t.Fatal(err)
		}
	}
}
