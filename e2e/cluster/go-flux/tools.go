//go:build tools

// Flux' own types of a HelmRelease, and the tool that makes a CRD of them: e2e/tests/go_modules.py runs it.
package flux

import (
	_ "github.com/fluxcd/helm-controller/api/v2"
	_ "sigs.k8s.io/controller-tools/cmd/controller-gen"
)
