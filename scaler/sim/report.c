/* The table for a person and the JSON for a program. */
#include "lib/data/json.h"
#include "scaler/sim/experiment.h"

static const struct {
	const char *key, *title, *what;
	int digits;
} measures[SIM_MEASURE_COUNT] = {
#define X(name, k, t, d, w) [SIM_M_##name] = { k, t, w, d },
	SIM_MEASURES(X)
#undef X
};

static void load_line(const struct sim_experiment *x, struct buf *out)
{
	if (x->csv)
		(void)buf_addf(out, "trace from CSV, %zu queries, %.2f h", x->csv->n, x->hours);
	else
		(void)buf_addf(out, "pattern %s, %.0f queries/h, %g h",
		               sim_pattern_name(x->load.pattern), x->load.per_hour, x->load.hours);
	(void)buf_addf(
		out, "; nodes %lld..%lld of %lld slots, boot %g-%g s; %zu seeds; ± is 95%%\n",
		(long long)x->scaler.min, (long long)x->scaler.max, (long long)x->scaler.slots,
		x->machines.boot_low_s, x->machines.boot_high_s, x->seeds);
}

static void against(const struct sim_experiment *x, enum sim_scaler s, struct buf *out)
{
	struct sim_mean wait = sim_experiment_difference(x, s, SIM_M_WAIT_P95);
	struct sim_mean hours = sim_experiment_difference(x, s, SIM_M_NODE_HOURS);
	double base_wait = sim_experiment_mean(x, s, SIM_M_WAIT_P95).mean;
	double base_hours = sim_experiment_mean(x, s, SIM_M_NODE_HOURS).mean;
	(void)buf_addf(
		out,
		"against %s: p95 wait x %.2f (%+.1f ± %.1f s), node hours x %.2f (%+.2f ± %.2f)\n",
		sim_scaler_name(s), base_wait > 0 ? 1 + wait.mean / base_wait : 1, wait.mean,
		wait.half, base_hours > 0 ? 1 + hours.mean / base_hours : 1, hours.mean,
		hours.half);
}

void sim_report_table(const struct sim_experiment *x, struct buf *out)
{
	load_line(x, out);
	(void)buf_addf(out, "%-25s", "");
	for (int m = 0; m < SIM_MEASURE_COUNT; m++)
		(void)buf_addf(out, " %14s", measures[m].title);
	(void)buf_adds(out, "\n");
	for (enum sim_scaler s = 0; s < SIM_SCALERS; s++) {
		(void)buf_addf(out, "%-24s%s", sim_scaler_name(s),
		               sim_experiment_pareto(x, s) ? "*" : " ");
		for (enum sim_measure m = 0; m < SIM_MEASURE_COUNT; m++) {
			struct sim_mean mean = sim_experiment_mean(x, s, m);
			autofree char *cell = xasprintf("%.*f±%.*f", measures[m].digits, mean.mean,
			                                measures[m].digits, mean.half);
			(void)buf_addf(out, " %15s", cell); /* ± has two bytes */
		}
		(void)buf_adds(out, "\n");
	}
	(void)buf_adds(
		out,
		"*: none has both a lower p95 and fewer node hours (the oracle is not asked)\n");
	against(x, SIM_DATA_ON_EKS, out);
	against(x, SIM_DATA_ON_EKS_FAST, out);
	against(x, SIM_HPA_ON_CPU, out);
}

static json_t *of_mean(struct sim_mean m)
{
	return json_pack("{s:f, s:f}", "mean", m.mean, "half", m.half);
}

static json_t *of_scaler(const struct sim_experiment *x, enum sim_scaler s)
{
	json_t *j = json_pack("{s:s, s:b, s:{}}", "name", sim_scaler_name(s), "pareto",
	                      sim_experiment_pareto(x, s), "measures");
	for (enum sim_measure m = 0; m < SIM_MEASURE_COUNT; m++) {
		json_t *one = of_mean(sim_experiment_mean(x, s, m)), *runs = json_array();
		for (size_t k = 0; k < x->seeds; k++)
			(void)json_array_append_new(runs, json_real(x->results[s][k].v[m]));
		(void)json_object_set_new(one, "runs", runs);
		(void)json_object_set_new(json_object_get(j, "measures"), measures[m].key, one);
	}
	return j;
}

static json_t *of_load(const struct sim_experiment *x)
{
	return json_pack("{s:s, s:f, s:f, s:I, s:I, s:I, s:f, s:f, s:f}", "pattern",
	                 x->csv ? "csv" : sim_pattern_name(x->load.pattern), "hours", x->hours,
	                 "queries_per_hour", x->load.per_hour, "min", (json_int_t)x->scaler.min,
	                 "max", (json_int_t)x->scaler.max, "slots_per_node",
	                 (json_int_t)x->scaler.slots, "wait_target_s", x->scaler.wait_target_s,
	                 "boot_low_s", x->machines.boot_low_s, "boot_high_s",
	                 x->machines.boot_high_s);
}

void sim_report_json(const struct sim_experiment *x, struct buf *out)
{
	_cleanup_json_ json_t *root =
		json_pack("{s:i, s:o, s:I, s:I, s:[], s:[]}", "v", 1, "load", of_load(x), "seeds",
	                  (json_int_t)x->seeds, "first_seed", (json_int_t)x->first_seed, "scalers",
	                  "against");
	for (enum sim_scaler s = 0; s < SIM_SCALERS; s++) {
		(void)json_array_append_new(json_object_get(root, "scalers"), of_scaler(x, s));
		if (s == SIM_OURS)
			continue;
		json_t *a = json_pack(
			"{s:s, s:o, s:o}", "baseline", sim_scaler_name(s), "wait_p95_s",
			of_mean(sim_experiment_difference(x, s, SIM_M_WAIT_P95)), "node_hours",
			of_mean(sim_experiment_difference(x, s, SIM_M_NODE_HOURS)));
		(void)json_array_append_new(json_object_get(root, "against"), a);
	}
	(void)data_json_dump(root, out);
	(void)buf_addc(out, '\n');
}
