package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
)

const enforce = "credentials.keyward.dev/enforce"

// handler refuses inline tokens where the namespace does not take them.
type handler struct {
	namespaces client.Reader
}

// Handle answers one review.
func (h *handler) Handle(ctx context.Context, request admission.Request) admission.Response {
	upstream := &unstructured.Unstructured{}
	if err := upstream.UnmarshalJSON(request.Object.Raw); err != nil {
		return admission.Errored(http.StatusBadRequest, err)
	}
	found := inlineTokens(upstream)
	if len(found) == 0 {
		return admission.Allowed("")
	}
	for _, token := range found {
		if token.unexpanded {
			return admission.Denied(token.field + ": a variable that no shell has expanded")
		}
	}
	namespace := &corev1.Namespace{}
	if err := h.namespaces.Get(ctx, client.ObjectKey{Name: request.Namespace}, namespace); err != nil {
		return admission.Errored(http.StatusInternalServerError, err)
	}
	if level := namespace.Labels[enforce]; level != "" && level != "open" {
		return admission.Denied(found[0].field + ": a token in the manifest; use secretRef")
	}
	warnings := make([]string, 0, len(found))
	for _, token := range found {
		warnings = append(warnings, token.field+": a token in the manifest; use secretRef")
	}
	return admission.Allowed("").WithWarnings(warnings...)
}

// inlineToken is a place, not a value.
type inlineToken struct {
	field      string
	unexpanded bool
}

func inlineTokens(upstream *unstructured.Unstructured) []inlineToken {
	ai, _, _ := unstructured.NestedMap(upstream.Object, "spec", "ai")
	found := ofProviders("spec.ai", ai)
	priorities, _, _ := unstructured.NestedSlice(ai, "multi", "priorities")
	for i, priority := range priorities {
		entry, _ := priority.(map[string]any)
		pool, _, _ := unstructured.NestedSlice(entry, "pool")
		for j, providers := range pool {
			providers, _ := providers.(map[string]any)
			found = append(found, ofProviders(fmt.Sprintf("spec.ai.multi.priorities[%d].pool[%d]", i, j), providers)...)
		}
	}
	return found
}

func ofProviders(parent string, providers map[string]any) []inlineToken {
	var found []inlineToken
	for name, provider := range providers {
		provider, _ := provider.(map[string]any)
		token, is, err := unstructured.NestedString(provider, "authToken", "inline")
		if is && err == nil {
			field := parent + "." + name + ".authToken.inline"
			found = append(found, inlineToken{field: field, unexpanded: strings.HasPrefix(token, "$")})
		}
	}
	return found
}
