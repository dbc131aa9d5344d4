// Command scalerclient asks a scaler exactly as KEDA does: with KEDA's own scaler code.
//
// Standard input: a JSON object {"kind": "metrics-api"|"prometheus", "metadata": {…}, "auth": {…}, "timeout_ms": n} a line.
// Standard output: a line for each, {"value": number, "active": bool} or {"error": text}, and "target" from the HPA's spec.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/kedacore/keda/v2/pkg/scalers"
	"github.com/kedacore/keda/v2/pkg/scalers/scalersconfig"
)

type question struct {
	Kind      string            `json:"kind"`
	Metadata  map[string]string `json:"metadata"`
	Auth      map[string]string `json:"auth"`
	TimeoutMs int               `json:"timeout_ms"`
}

type answer struct {
	Value  float64 `json:"value"`
	Active bool    `json:"active"`
	Target string  `json:"target,omitempty"`
	Error  string  `json:"error,omitempty"`
}

func open(q question) (scalers.Scaler, error) {
	config := &scalersconfig.ScalerConfig{
		ScalableObjectName: "cn", ScalableObjectNamespace: "test", ScalableObjectType: "ScaledObject",
		TriggerMetadata: q.Metadata, AuthParams: q.Auth, ResolvedEnv: map[string]string{},
		GlobalHTTPTimeout: time.Duration(q.TimeoutMs) * time.Millisecond, MetricType: "AverageValue",
	}
	if q.Kind == "prometheus" {
		return scalers.NewPrometheusScaler(config)
	}
	return scalers.NewMetricsAPIScaler(config, nil)
}

func ask(q question) (answer, error) {
	ctx := context.Background()
	s, err := open(q)
	if err != nil {
		return answer{}, fmt.Errorf("open: %w", err)
	}
	defer s.Close(ctx)
	spec := s.GetMetricSpecForScaling(ctx)
	values, active, err := s.GetMetricsAndActivity(ctx, spec[0].External.Metric.Name)
	if err != nil {
		return answer{}, err
	}
	return answer{Value: values[0].Value.AsApproximateFloat64(), Active: active, Target: spec[0].External.Target.AverageValue.String()}, nil
}

func main() {
	in, out := bufio.NewScanner(os.Stdin), json.NewEncoder(os.Stdout)
	for in.Scan() {
		var q question
		err := json.Unmarshal(in.Bytes(), &q)
		var a answer
		if err == nil {
			a, err = ask(q)
		}
		if err != nil {
			a = answer{Error: err.Error()}
		}
		if out.Encode(a) != nil {
			os.Exit(1)
		}
	}
}
