// Command kstatus says what Flux, Argo CD and kpt would see: kstatus' own verdict on objects.
//
// Standard input: a JSON object a line. Standard output: {"status", "message", "conditions"} for each.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

func main() {
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 16<<20)
	for in.Scan() {
		object := &unstructured.Unstructured{}
		if err := object.UnmarshalJSON(in.Bytes()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		seen, err := status.Compute(object)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		text, _ := json.Marshal(map[string]any{"status": seen.Status, "message": seen.Message, "conditions": seen.Conditions})
		fmt.Println(string(text))
	}
}
