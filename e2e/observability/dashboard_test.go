// Package observability checks the dashboard that Keyward ships, without a Grafana: the file against the types that Grafana publishes of
// its dashboards, its queries with Prometheus' own parser (queries_test.go), the rest by hand. It never says how a panel looks, and not
// whether a metric exists: check-dashboard.sh does that, on a cluster. The dashboard is outside of this module, so `go test ./...` does not
// see that it changed: -count=1.
package observability

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

const (
	file = "../../config/components/prometheus/dashboard.json"
	// The template variable that holds the data source.
	source = "datasource"
	// Bookmarks and links name it: it must stay.
	uid = "keyward"
	// What Grafana 10.3 writes, the oldest that the component's README names. Later ones migrate it on load.
	oldestSchema = 39
)

func TestTheFileIsWhatTheSchemaSays(t *testing.T) {
	for _, fault := range faults(read(t)) {
		t.Error(fault)
	}
}

func TestPanelsHaveIdsOfTheirOwn(t *testing.T) {
	owner := map[uint32]string{}
	for _, item := range load(t).Panels {
		id, title := identity(item)
		if other, taken := owner[id]; taken || id == 0 {
			t.Errorf("%q has the id %d of %q", title, id, other)
		}
		owner[id] = title
	}
}

func TestPanelsDoNotOverlap(t *testing.T) {
	type cell struct{ x, y uint32 }
	owner := map[cell]string{}
	for _, item := range load(t).Panels {
		_, title := identity(item)
		place := position(item)
		if place == nil {
			t.Errorf("%q has no position", title)
			continue
		}
		if place.X+place.W > 24 {
			t.Errorf("%q ends in column %d of 24", title, place.X+place.W)
		}
		for x := place.X; x < place.X+place.W; x++ {
			for y := place.Y; y < place.Y+place.H; y++ {
				if other, taken := owner[cell{x, y}]; taken {
					t.Fatalf("%q lies on %q at %d, %d", title, other, x, y)
				}
				owner[cell{x, y}] = title
			}
		}
	}
}

// A closed row holds its panels itself, so that these tests would not see them.
func TestRowsAreOpen(t *testing.T) {
	for _, item := range load(t).Panels {
		if row := item.RowPanel; row != nil && (row.Collapsed || len(row.Panels) > 0) {
			t.Errorf("row %q is closed", text(row.Title))
		}
	}
}

func TestEveryDataSourceIsTheVariable(t *testing.T) {
	shipped := load(t)
	for _, panel := range panels(shipped) {
		expectSource(t, "panel "+text(panel.Title), panel.Datasource)
		for _, query := range queries(t, panel) {
			expectSource(t, "query "+query.Expr, query.Datasource)
		}
	}
	found := false
	for _, variable := range shipped.Templating.List {
		if variable.Name == source {
			found = true
			query := variable.Query
			if variable.Type != dashboard.VariableTypeDatasource || query == nil || text(query.String) != "prometheus" {
				t.Errorf("$%s is not a choice of Prometheus data sources", source)
			}
		} else {
			expectSource(t, "variable "+variable.Name, variable.Datasource)
		}
	}
	if !found {
		t.Errorf("there is no variable %s", source)
	}
}

// The import dialog asks for what `__inputs` lists and provisioning fills nothing in, so only a file without them works for both.
func TestImportAndProvisioningTakeTheFile(t *testing.T) {
	var top map[string]json.RawMessage
	decode(t, read(t), &top)
	for _, field := range []string{"__inputs", "__requires", "__elements"} {
		if _, found := top[field]; found {
			t.Errorf("%s is for the import dialog alone", field)
		}
	}
	if id, found := top["id"]; !found || string(id) != "null" {
		t.Error("id is not null: a number is that of another dashboard where this one is imported")
	}
	shipped := load(t)
	if text(shipped.Uid) != uid {
		t.Errorf("uid is not %s", uid)
	}
	newest := dashboard.NewDashboard().SchemaVersion
	if shipped.SchemaVersion < oldestSchema || shipped.SchemaVersion > newest {
		t.Errorf("schemaVersion is %d, not %d to %d", shipped.SchemaVersion, oldestSchema, newest)
	}
}

func expectSource(t *testing.T, what string, got *common.DataSourceRef) {
	t.Helper()
	if got == nil || text(got.Type) != "prometheus" || text(got.Uid) != "${"+source+"}" {
		t.Errorf("%s: the data source is not ${%s}", what, source)
	}
}

func identity(item dashboard.PanelOrRowPanel) (id uint32, title string) {
	if row := item.RowPanel; row != nil {
		return row.Id, text(row.Title)
	}
	if item.Panel.Id == nil {
		return 0, text(item.Panel.Title)
	}
	return *item.Panel.Id, text(item.Panel.Title)
}

func position(item dashboard.PanelOrRowPanel) *dashboard.GridPos {
	if item.RowPanel != nil {
		return item.RowPanel.GridPos
	}
	return item.Panel.GridPos
}

// All panels but rows.
func panels(shipped dashboard.Dashboard) (all []dashboard.Panel) {
	for _, item := range shipped.Panels {
		if item.Panel != nil {
			all = append(all, *item.Panel)
		}
	}
	return all
}

// What the schema has as optional; empty if it is not there.
func text(optional *string) string {
	if optional == nil {
		return ""
	}
	return *optional
}

// The strict decoding of the SDK's v0.0.22 tells faults but gives no panels, so values come from the other one.
func load(t *testing.T) (shipped dashboard.Dashboard) {
	t.Helper()
	decode(t, read(t), &shipped)
	if len(panels(shipped)) == 0 {
		t.Fatal("no panel")
	}
	return shipped
}

func read(t *testing.T) []byte {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func decode(t *testing.T, content []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(content, into); err != nil {
		t.Fatal(err)
	}
}
