#include "scaler/sim/sim.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>

#include "lib/base/fd.h"
#include "scaler/sim/experiment.h"

enum { EXIT_USAGE = 2, OUT_MAX = 64 * 1024 * 1024 };

static const char usage[] =
	"usage: roost-scaler sim [flags]: the policy and its rivals in virtual time\n"
	"  --trace CSV         what arrives: arrive_s,service_s[,slots] (instead of a pattern)\n"
	"  --pattern NAME      cab, sines, spikes, burst, break, onoff, constant, long (cab)\n"
	"  --seeds N           runs of each scaler, 1..1000 (30)\n"
	"  --first-seed N      (1)\n"
	"  --hours H           of a pattern, up to 744 (8)\n"
	"  --per-hour Q        queries of a pattern (5508)\n"
	"  --min N --max N     nodes (0, 10)\n"
	"  --slots N           of a node (8)\n"
	"  --wait-target S     seconds (5)\n"
	"  --window S          scale-in window, seconds (300)\n"
	"  --boot LOW-HIGH     seconds until a machine is there (60-300)\n"
	"  --spot-hours H      between reclaims of a machine; 0: never (50)\n"
	"  --outage FROM-TO    seconds in which the FE is silent\n"
	"  --no-pin            the operator leaves the ScaledObject's limits alone\n"
	"  --json OUT          every figure of every run\n"
	"  --plot OUT.svg      wait against node hours; nodes against demand\n";

struct flags {
	struct sim_experiment x;
	const char *trace, *json, *plot;
	double window_s;
};

/* ---- numbers of flags ------------------------------------------------------------------------- */

static int number(const char *flag, const char *text, double least, double most, bool whole,
                  double *ret)
{
	double n = 0;
	if (str_to_double(str_of(text), &n) < 0 || n < least || n > most ||
	    (whole && n != floor(n))) {
		fprintf(stderr,
		        "roost-scaler sim: --%s \"%.100s\" is not a %snumber from %g to %g\n", flag,
		        text, whole ? "whole " : "", least, most);
		return -EINVAL;
	}
	*ret = n;
	return 0;
}

static int range(const char *flag, const char *text, double most, double *low, double *high)
{
	struct str rest = str_of(text), a = { 0 }, b = { 0 };
	double x = 0, y = 0;
	if (!str_split(&rest, '-', &a) || !rest.p || str_to_double(a, &x) < 0 ||
	    (b = rest, str_to_double(b, &y) < 0) || x < 0 || y < x || y > most) {
		fprintf(stderr, "roost-scaler sim: --%s \"%.100s\" is not LOW-HIGH from 0 to %g\n",
		        flag, text, most);
		return -EINVAL;
	}
	*low = x;
	*high = y;
	return 0;
}

struct row {
	const char *name;
	double least, most;
	bool whole;
	double *to_double;
	int64_t *to_int;
};

static int set_number(const struct row *r, const char *text)
{
	double n = 0;
	int rc = number(r->name, text, r->least, r->most, r->whole, &n);
	if (rc < 0)
		return rc;
	if (r->to_double)
		*r->to_double = n;
	else
		*r->to_int = (int64_t)n;
	return 0;
}

static int set_other(struct flags *f, int c, const char *text)
{
	struct err err = ERR_INIT;
	double low = 0, high = 0;
	if (c == 'p' && sim_pattern_find(text, &f->x.load.pattern, &err) < 0) {
		fprintf(stderr, "roost-scaler sim: %s\n", err.msg);
		return -EINVAL;
	}
	if (c == 'b')
		return range("boot", text, 86400, &f->x.machines.boot_low_s,
		             &f->x.machines.boot_high_s);
	if (c == 'o') {
		if (range("outage", text, SIM_SECONDS_MAX, &low, &high) < 0)
			return -EINVAL;
		f->x.scaler.outage_from_ms = (int64_t)(low * 1000);
		f->x.scaler.outage_ms = (int64_t)((high - low) * 1000);
	}
	return 0;
}

/* 0, or what to exit with + 1. */
static int parse(int argc, char **argv, struct flags *f, int64_t *seeds, int64_t *first)
{
	struct sim_experiment *x = &f->x;
	const struct row rows[] = {
		{ "seeds", 1, SIM_SEEDS_MAX, true, NULL, seeds },
		{ "first-seed", 0, 1e15, true, NULL, first },
		{ "hours", 0.01, 744, false, &x->load.hours, NULL },
		{ "per-hour", 1, 1e6, false, &x->load.per_hour, NULL },
		{ "min", 0, 200, true, NULL, &x->scaler.min },
		{ "max", 1, 200, true, NULL, &x->scaler.max },
		{ "slots", 1, 1024, true, NULL, &x->scaler.slots },
		{ "wait-target", 0.1, 86400, false, &x->scaler.wait_target_s, NULL },
		{ "window", 1, 86400, false, &f->window_s, NULL },
		{ "spot-hours", 0, 1e6, false, &x->machines.spot_mean_h, NULL },
	};
	static const struct option others[] = {
		{ "trace", required_argument, NULL, 't' },
		{ "json", required_argument, NULL, 'j' },
		{ "plot", required_argument, NULL, 'g' },
		{ "pattern", required_argument, NULL, 'p' },
		{ "boot", required_argument, NULL, 'b' },
		{ "outage", required_argument, NULL, 'o' },
		{ "no-pin", no_argument, NULL, 'n' },
		{ "help", no_argument, NULL, 'h' },
	};
	struct option options[ARRAY_LEN(rows) + ARRAY_LEN(others) + 1] = { 0 };
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		options[i] = (struct option){ rows[i].name, required_argument, NULL, 256 + (int)i };
	memcpy(options + ARRAY_LEN(rows), others, sizeof(others));
	for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		if (c == '?')
			return EXIT_USAGE + 1; /* getopt named the flag */
		if (c == 'h')
			return fputs(usage, stdout) < 0 ? 2 : 1;
		if (c >= 256 ? set_number(&rows[c - 256], optarg) : set_other(f, c, optarg))
			return EXIT_USAGE + 1;
		f->trace = c == 't' ? optarg : f->trace;
		f->json = c == 'j' ? optarg : f->json;
		f->plot = c == 'g' ? optarg : f->plot;
		f->x.scaler.no_pin |= c == 'n';
	}
	if (optind < argc)
		fprintf(stderr, "roost-scaler sim: unexpected argument \"%.100s\"; see --help\n",
		        argv[optind]);
	else if (x->scaler.min > x->scaler.max)
		fprintf(stderr, "roost-scaler sim: --min is more than --max\n");
	else
		return 0;
	return EXIT_USAGE + 1;
}

/* ---- files ------------------------------------------------------------------------------------ */

static int write_to(const char *path, const struct buf *b)
{
	struct err err = ERR_INIT;
	if (!path)
		return 0;
	if (b->overflow)
		(void)err_set(&err, -E2BIG, "%.200s: more than %d bytes", path, OUT_MAX);
	else if (fd_write_file(path, buf_cstr(b), b->len, 0644, &err) == 0)
		return 0;
	fprintf(stderr, "roost-scaler sim: %s\n", err.msg);
	return -1;
}

static int read_trace(const char *path, struct sim_trace *ret)
{
	struct err err = ERR_INIT;
	_cleanup_buf_ struct buf text = BUF_INIT(SIM_CSV_MAX);
	if (fd_read_file(path, &text, &err) < 0) {
		fprintf(stderr, "roost-scaler sim: %s\n", err.msg);
		return 1;
	}
	if (sim_trace_csv((struct str){ buf_cstr(&text), text.len }, ret, &err) == 0)
		return 0;
	fprintf(stderr, "roost-scaler sim: %.200s: %s\n", path, err.msg);
	return EXIT_USAGE;
}

int sim_main(int argc, char **argv)
{
	struct flags f = { .x = sim_experiment_defaults() };
	_cleanup_(sim_trace_free) struct sim_trace trace = { 0 };
	_cleanup_buf_ struct buf table = BUF_INIT(OUT_MAX), json = BUF_INIT(OUT_MAX),
				 plot = BUF_INIT(OUT_MAX);
	f.window_s = (double)f.x.scaler.window_ms / 1000;
	int64_t seeds = (int64_t)f.x.seeds, first = (int64_t)f.x.first_seed;
	int rc = parse(argc, argv, &f, &seeds, &first);
	if (rc)
		return rc - 1;
	if (f.trace && (rc = read_trace(f.trace, &trace)) != 0)
		return rc;
	f.x.csv = f.trace ? &trace : NULL;
	f.x.seeds = (size_t)seeds;
	f.x.first_seed = (uint64_t)first;
	f.x.scaler.window_ms = (int64_t)(f.window_s * 1000);
	sim_experiment_run(&f.x);
	sim_report_table(&f.x, &table);
	sim_report_json(&f.x, &json);
	sim_plot(&f.x, &plot);
	sim_experiment_release(&f.x);
	if (fputs(buf_cstr(&table), stdout) < 0 || fflush(stdout) != 0) {
		perror("roost-scaler sim: cannot write the table");
		return 1;
	}
	return write_to(f.json, &json) < 0 || write_to(f.plot, &plot) < 0 ? 1 : 0;
}
