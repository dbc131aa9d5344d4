// hyperkube of the oldest Kubernetes that Roost supports: only what a control
// plane needs, and kubectl comes from the newer one (see ../../go).
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"

	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	manager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
)

var programs = map[string]func() *cobra.Command{
	"kube-apiserver":          apiserver.NewAPIServerCommand,
	"kube-controller-manager": manager.NewControllerManagerCommand,
}

func main() {
	name := filepath.Base(os.Args[0])
	if _, ok := programs[name]; !ok && len(os.Args) > 1 {
		name = os.Args[1]
		os.Args = os.Args[1:]
	}
	make, ok := programs[name]
	if !ok {
		fmt.Fprintf(os.Stderr, "hyperkube: no program %q; have: kube-apiserver kube-controller-manager\n", name)
		os.Exit(2)
	}
	os.Exit(cli.Run(make()))
}
