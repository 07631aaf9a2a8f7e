package observability

import (
	"regexp"
	"slices"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/prometheus/prometheus/promql/parser"
)

var (
	// The spellings of a variable that Grafana knows: $name, ${name}, ${name:format}, [[name]].
	variable = regexp.MustCompile(`\$(\w+)|\$\{(\w+)[^}]*\}|\[\[(\w+)[^\]]*\]\]`)
	// What Grafana has by itself, of those that take the place of a duration.
	builtin = []string{"__rate_interval", "__interval", "__range"}
	// The queries of variables are Grafana's own, around a selector.
	labelValues = regexp.MustCompile(`^label_values\((.+), *(\w+)\)$`)
	legendLabel = regexp.MustCompile(`\{\{ *(\w+) *\}\}`)
)

func TestVariablesAreDefinedAndUsed(t *testing.T) {
	defined := map[string]bool{}
	for _, one := range load(t).Templating.List {
		if defined[one.Name] {
			t.Errorf("variable %s is defined twice", one.Name)
		}
		defined[one.Name] = true
	}
	used := map[string]bool{}
	for _, match := range variable.FindAllSubmatch(read(t), -1) {
		used[string(match[1])+string(match[2])+string(match[3])] = true
	}
	for name := range used {
		// $__all is a value of `current`, not a variable.
		if !defined[name] && !slices.Contains(builtin, name) && name != "__all" {
			t.Errorf("variable %s is not defined", name)
		}
	}
	for name := range defined {
		if !used[name] {
			t.Errorf("variable %s is not used", name)
		}
	}
}

func TestQueriesParse(t *testing.T) {
	for _, panel := range panels(load(t)) {
		if len(queries(t, panel)) == 0 {
			t.Errorf("panel %q has no query", text(panel.Title))
		}
		for _, query := range queries(t, panel) {
			if kind := parse(t, query.Expr).Type(); kind != parser.ValueTypeVector && kind != parser.ValueTypeScalar {
				t.Errorf("%s gives a %s, which no panel shows", query.Expr, kind)
			}
		}
	}
}

func TestQueriesOfVariablesParse(t *testing.T) {
	for _, one := range load(t).Templating.List {
		if one.Type != dashboard.VariableTypeQuery {
			continue
		}
		match := labelValues.FindStringSubmatch(text(one.Definition))
		if match == nil {
			t.Errorf("%s is not label_values(SELECTOR, LABEL)", text(one.Definition))
		} else if _, ok := parse(t, match[1]).(*parser.VectorSelector); !ok {
			t.Errorf("%s is not a selector", match[1])
		}
	}
}

// A label that a query does not keep is empty in the legend.
func TestLegendsNameWhatTheirQueriesKeep(t *testing.T) {
	for _, panel := range panels(load(t)) {
		for _, query := range queries(t, panel) {
			kept, all := grouping(parse(t, query.Expr))
			for _, label := range legendLabel.FindAllStringSubmatch(text(query.LegendFormat), -1) {
				if !all && !slices.Contains(kept, label[1]) {
					t.Errorf("%s keeps %q, but its legend names %s", query.Expr, kept, label[1])
				}
			}
		}
	}
}

// The labels that an expression keeps, or that it keeps all.
func grouping(expression parser.Expr) (kept []string, all bool) {
	switch node := expression.(type) {
	case *parser.AggregateExpr:
		return node.Grouping, node.Without
	case *parser.BinaryExpr:
		return grouping(node.LHS)
	case *parser.ParenExpr:
		return grouping(node.Expr)
	case *parser.Call:
		// histogram_quantile takes `le` away from what it is given; no legend may name it.
		kept, all = grouping(node.Args[len(node.Args)-1])
		return slices.DeleteFunc(slices.Clone(kept), func(label string) bool { return label == "le" }), all
	}
	return nil, true
}

// Parses what Prometheus gets to see: with a value for each variable.
func parse(t *testing.T, query string) parser.Expr {
	t.Helper()
	sent := variable.ReplaceAllStringFunc(query, func(match string) string {
		name := variable.FindStringSubmatch(match)
		if slices.Contains(builtin, name[1]+name[2]+name[3]) {
			return "5m"
		}
		return "value"
	})
	expression, err := parser.NewParser(parser.Options{}).ParseExpr(sent)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return expression
}

func queries(t *testing.T, panel dashboard.Panel) (all []*prometheus.Dataquery) {
	t.Helper()
	for _, target := range panel.Targets {
		query, ok := target.(*prometheus.Dataquery)
		if !ok {
			t.Fatalf("panel %q: a query is not for Prometheus", text(panel.Title))
		}
		all = append(all, query)
	}
	return all
}
