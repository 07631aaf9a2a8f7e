package observability

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

// The kinds of panels and queries that the dashboard has. The SDK lets everything pass in others: faults does not.
func init() {
	runtime := cog.NewRuntime()
	runtime.RegisterDataqueryVariant(prometheus.VariantConfig())
	runtime.RegisterPanelcfgVariant(stat.VariantConfig())
	runtime.RegisterPanelcfgVariant(timeseries.VariantConfig())
}

// What in the file is not as Grafana's schema says: unknown and missing fields, types, values.
func faults(content []byte) []error {
	var strict, shipped dashboard.Dashboard
	found := told("dashboard", strict.UnmarshalJSONStrict(content))
	if err := json.Unmarshal(content, &shipped); err != nil {
		return append(found, err)
	}
	var raw struct {
		Panels []struct{ FieldConfig json.RawMessage }
	}
	if err := json.Unmarshal(content, &raw); err != nil {
		return append(found, err)
	}
	for index, item := range shipped.Panels {
		if item.Panel != nil {
			found = append(found, panelFaults(fmt.Sprintf("panels[%d]", index), *item.Panel, raw.Panels[index].FieldConfig)...)
		}
	}
	found = append(found, variableFaults(shipped.Templating.List)...)
	found = append(found, told("dashboard", shipped.Validate())...)
	return append(found, oddValues("dashboard", reflect.ValueOf(shipped))...)
}

// What the strict decoding of a panel does not look at.
func panelFaults(path string, panel dashboard.Panel, fieldConfig json.RawMessage) (found []error) {
	config, known := cog.ConfigForPanelcfgVariant(panel.Type)
	if !known {
		found = append(found, fmt.Errorf("%s: panels of type %q are not checked", path, panel.Type))
	}
	for _, target := range panel.Targets {
		if _, known := target.(*prometheus.Dataquery); !known {
			found = append(found, fmt.Errorf("%s: its queries are not for Prometheus", path))
		}
	}
	if fieldConfig == nil {
		return found
	}
	var strict dashboard.FieldConfigSource
	found = append(found, told(path+".fieldConfig", strict.UnmarshalJSONStrict(fieldConfig))...)
	if config.StrictFieldConfigUnmarshaler == nil && strict.Defaults.Custom != nil {
		found = append(found, fmt.Errorf("%s: a panel of type %q has no custom fields", path, panel.Type))
	}
	return found
}

// The query of a variable is the data source's, and the schema takes anything.
func variableFaults(list []dashboard.VariableModel) (found []error) {
	for _, variable := range list {
		if variable.Type != dashboard.VariableTypeQuery {
			continue
		}
		want := map[string]any{"query": text(variable.Definition), "refId": "StandardVariableQuery"}
		if variable.Query == nil || !reflect.DeepEqual(variable.Query.Map, want) {
			found = append(found, fmt.Errorf("variable %s: query is not its definition and a refId", variable.Name))
		}
	}
	return found
}

// The single faults of an answer of the SDK, whose strict decoding never returns nil: without a fault it is an empty list.
func told(path string, err error) (found []error) {
	if err == nil {
		return nil
	}
	var list cog.BuildErrors
	if !errors.As(err, &list) {
		return []error{fmt.Errorf("%s: %w", path, err)}
	}
	for _, fault := range list {
		found = append(found, fmt.Errorf("%s: %w", path, fault))
	}
	return found
}

// Values of enumerations that the schema does not have. The SDK decodes any string and any number.
func oddValues(path string, value reflect.Value) (found []error) {
	switch value.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !value.IsNil() {
			return oddValues(path, value.Elem())
		}
	case reflect.Struct:
		for index := range value.NumField() {
			found = append(found, oddValues(path+"."+value.Type().Field(index).Name, value.Field(index))...)
		}
	case reflect.Slice:
		for index := range value.Len() {
			found = append(found, oddValues(fmt.Sprintf("%s[%d]", path, index), value.Index(index))...)
		}
	case reflect.String, reflect.Int64:
		allowed := constants(value.Type())
		if got := fmt.Sprint(value); len(allowed) > 0 && !slices.Contains(allowed, got) {
			found = append(found, fmt.Errorf("%s: %q is not one of %q", path, got, allowed))
		}
	}
	return found
}

// The constants of each type of the SDK, by package and name. A program does not know them at run time, so they come from the source.
var enumerations = map[string]map[string][]string{}

func constants(of reflect.Type) []string {
	if of.PkgPath() == "" {
		return nil
	}
	if _, found := enumerations[of.PkgPath()]; !found {
		enumerations[of.PkgPath()] = declared(of.PkgPath())
	}
	return enumerations[of.PkgPath()][of.Name()]
}

func declared(path string) map[string][]string {
	directory, err := exec.Command("go", "list", "-f", "{{.Dir}}", path).Output()
	if err != nil {
		panic(err)
	}
	file := filepath.Join(strings.TrimSpace(string(directory)), "types_gen.go")
	source, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		panic(err)
	}
	values := map[string][]string{}
	ast.Inspect(source, func(node ast.Node) bool {
		if spec, ok := node.(*ast.ValueSpec); ok && len(spec.Values) == 1 {
			name, named := spec.Type.(*ast.Ident)
			literal, simple := spec.Values[0].(*ast.BasicLit)
			if named && simple {
				values[name.Name] = append(values[name.Name], plain(literal.Value))
			}
		}
		return true
	})
	return values
}

// A literal without its quotes, if it has any.
func plain(literal string) string {
	if unquoted, err := strconv.Unquote(literal); err == nil {
		return unquoted
	}
	return literal
}

func TestAFieldThatTheSchemaDoesNotHaveIsAFaultAnywhere(t *testing.T) {
	tree := sound(t)
	for path, object := range objects("dashboard", tree) {
		object["surprise"] = 1
		expectFault(t, tree, path+".surprise")
		delete(object, "surprise")
	}
}

func TestAValueThatTheSchemaDoesNotHaveIsAFault(t *testing.T) {
	for _, change := range []struct {
		field string
		value any
	}{
		{"colorMode", "loud"}, {"drawStyle", "pencil"}, {"showPoints", "seldom"}, {"editorMode", "guess"}, {"graphTooltip", 7},
		{"w", 25}, {"min", "none"}, {"type", "graph"}, {"steps", nil}, {"schemaVersion", nil}, {"refId", 1},
	} {
		tree := sound(t)
		for path, object := range objects("dashboard", tree) {
			// The types of data sources are TestEveryDataSourceIsTheVariable's.
			if old, found := object[change.field]; found && !strings.HasSuffix(path, ".datasource") {
				object[change.field] = change.value
				expectFault(t, tree, fmt.Sprintf("%s.%s: %v", path, change.field, change.value))
				object[change.field] = old
			}
		}
	}
}

// The file as a tree, where each further fault is one that a test put in.
func sound(t *testing.T) (tree any) {
	t.Helper()
	content := read(t)
	if found := faults(content); len(found) > 0 {
		t.Fatalf("the file has faults of its own: %v", found)
	}
	decode(t, content, &tree)
	return tree
}

func expectFault(t *testing.T, tree any, what string) {
	t.Helper()
	content, err := json.Marshal(tree)
	if err != nil {
		t.Fatal(err)
	}
	if len(faults(content)) == 0 {
		t.Errorf("%s is no fault", what)
	}
}

// Every object of a JSON tree, by its path.
func objects(path string, node any) map[string]map[string]any {
	all := map[string]map[string]any{}
	switch node := node.(type) {
	case map[string]any:
		all[path] = node
		for key, value := range node {
			maps.Copy(all, objects(path+"."+key, value))
		}
	case []any:
		for index, value := range node {
			maps.Copy(all, objects(fmt.Sprintf("%s[%d]", path, index), value))
		}
	}
	return all
}
