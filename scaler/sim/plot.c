/* The plot: wait against node hours for every scaler, and nodes against demand over time for two of them. */
#include <math.h>

#include "scaler/sim/experiment.h"

enum {
	WIDTH = 920,
	LEFT = 70,
	RIGHT = 890,
	TOP = 66,
	BOTTOM = 400,
	LABELS = 250, /* to the right of the points */
	LINE_TOP = 500,
	LINE_BOTTOM = 640,
	LINE_GAP = 215, /* between the two timelines */
	HEIGHT = 930,
};

static const char *const colours[SIM_SCALERS] = {
	[SIM_OURS] = "#0b7a75",
	[SIM_DATA_ON_EKS] = "#d1495b",
	[SIM_DATA_ON_EKS_FAST] = "#e58f65",
	[SIM_HPA_ON_CPU] = "#7b5ea7",
	[SIM_KPA] = "#3d6fb4",
	[SIM_STANDARD] = "#8a8d3f",
	[SIM_ECONOMY] = "#b58a2b",
	[SIM_ORACLE] = "#8d99ae",
};

struct axis {
	double low, high, from, to;
	bool log;
};

static double at(const struct axis *a, double v)
{
	if (a->log)
		v = log10(v < a->low ? a->low : v);
	double low = a->log ? log10(a->low) : a->low, high = a->log ? log10(a->high) : a->high;
	return a->from + (a->to - a->from) * (v - low) / (high - low);
}

static void text(struct buf *b, double x, double y, const char *anchor, const char *class,
                 const char *what)
{
	(void)buf_addf(b, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\" class=\"%s\">%s</text>\n",
	               x, y, anchor, class, what);
}

static void line(struct buf *b, double x1, double y1, double x2, double y2, const char *colour,
                 double width)
{
	(void)buf_addf(b,
	               "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\" "
	               "stroke-width=\"%.1f\"/>\n",
	               x1, y1, x2, y2, colour, width);
}

static double step_of(double range, int most)
{
	double step = pow(10, floor(log10(range / most)));
	static const double up[] = { 1, 2, 5, 10 };
	for (size_t i = 0; i < ARRAY_LEN(up); i++)
		if (range / (step * up[i]) <= most)
			return step * up[i];
	return step * 10;
}

/* ---- wait against node hours ------------------------------------------------------------------ */

static void grid(struct buf *b, const struct axis *x, const struct axis *y)
{
	char label[32];
	for (double v = y->low; v <= y->high * 1.001; v *= 10) {
		(void)snprintf(label, sizeof(label), "%g", v);
		line(b, x->from, at(y, v), x->to, at(y, v), "#e3e6ea", 1);
		text(b, x->from - 8, at(y, v) + 4, "end", "tick", label);
	}
	double step = step_of(x->high - x->low, 8);
	for (double v = ceil(x->low / step) * step; v <= x->high; v += step) {
		(void)snprintf(label, sizeof(label), "%g", v);
		line(b, at(x, v), y->from, at(x, v), y->to, "#eef0f3", 1);
		text(b, at(x, v), y->from + 18, "middle", "tick", label);
	}
	line(b, x->from, y->from, x->to, y->from, "#8a929e", 1.2);
	text(b, (x->from + x->to) / 2, y->from + 38, "middle", "label",
	     "node hours, from launch to end of a machine");
	(void)buf_addf(b,
	               "<text transform=\"translate(%d %.1f) rotate(-90)\" text-anchor=\"middle\" "
	               "class=\"label\">p95 wait, seconds (log)</text>\n",
	               LEFT - 46, (y->from + y->to) / 2);
}

static void point(struct buf *b, const struct sim_experiment *e, enum sim_scaler s,
                  const struct axis *x, const struct axis *y, double label_y)
{
	struct sim_mean wait = sim_experiment_mean(e, s, SIM_M_WAIT_P95);
	struct sim_mean hours = sim_experiment_mean(e, s, SIM_M_NODE_HOURS);
	double px = at(x, hours.mean), py = at(y, wait.mean);
	line(b, at(x, hours.mean - hours.half), py, at(x, hours.mean + hours.half), py, colours[s],
	     1.5);
	line(b, px, at(y, wait.mean - wait.half), px, at(y, wait.mean + wait.half), colours[s],
	     1.5);
	(void)buf_addf(b,
	               "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%d\" fill=\"%s\" stroke=\"#fff\" "
	               "stroke-width=\"1.5\"/>\n",
	               px, py, s == SIM_OURS ? 8 : 6, colours[s]);
	(void)buf_addf(b, "<circle cx=\"%d\" cy=\"%.1f\" r=\"5\" fill=\"%s\"/>\n",
	               RIGHT - LABELS + 24, label_y - 4, colours[s]);
	text(b, RIGHT - LABELS + 36, label_y, "start", s == SIM_OURS ? "ours" : "name",
	     sim_scaler_name(s));
	autofree char *figures = xasprintf("p95 %.1f s, %.1f node h", wait.mean, hours.mean);
	text(b, RIGHT - LABELS + 36, label_y + 14, "start", "tick", figures);
}

static void scatter(struct buf *b, const struct sim_experiment *e)
{
	struct axis x = { INFINITY, 0, LEFT, RIGHT - LABELS, false };
	struct axis y = { 0.1, 1, BOTTOM, TOP + 20, true };
	for (enum sim_scaler s = 0; s < SIM_SCALERS; s++) {
		struct sim_mean hours = sim_experiment_mean(e, s, SIM_M_NODE_HOURS);
		struct sim_mean wait = sim_experiment_mean(e, s, SIM_M_WAIT_P95);
		x.low = fmin(x.low, hours.mean - hours.half);
		x.high = fmax(x.high, hours.mean + hours.half);
		while (wait.mean + wait.half > y.high && y.high < 1e6)
			y.high *= 10;
	}
	double room = fmax((x.high - x.low) * 0.08, 0.1);
	x.low = fmax(0, x.low - room);
	x.high += room;
	grid(b, &x, &y);
	for (enum sim_scaler s = SIM_SCALERS; s-- > 0;)
		point(b, e, s, &x, &y, TOP + 34 + 38 * (double)s);
}

/* ---- nodes against demand --------------------------------------------------------------------- */

enum series { SERIES_DEMAND, SERIES_NODES, SERIES_WANTED };

static double of(const struct sim_sample *s, enum series which)
{
	return which == SERIES_DEMAND ? s->demand : which == SERIES_NODES ? s->nodes : s->wanted;
}

static void series(struct buf *b, const struct sim_experiment *e, enum sim_scaler s,
                   enum series which, const struct axis *x, const struct axis *y, const char *style)
{
	size_t n = e->timeline_n[s], every = n / 1200 + 1;
	bool area = which == SERIES_DEMAND;
	double last = NAN, edge = x->from;
	(void)buf_addf(b, "<path %s d=\"M%.1f %.1f", style, x->from, y->from);
	for (size_t i = 0; i + every <= n; i += every) {
		double hours = (double)i * (double)SIM_SAMPLE_MS / 3600000, v = 0,
		       px = at(x, hours);
		if (hours > x->high)
			break;
		for (size_t k = i; k < i + every; k++)
			v = fmax(v, of(&e->timeline[s][k], which));
		double py = at(y, fmin(v, y->high));
		edge = px; /* a level line is drawn when it ends */
		if (area)
			(void)buf_addf(b, "L%.1f %.1f", px, py);
		else if (py != last)
			(void)buf_addf(b, "H%.1fV%.1f", px, py);
		last = py;
	}
	if (area)
		(void)buf_addf(b, "V%.1fZ\"/>\n", y->from);
	else
		(void)buf_addf(b, "H%.1f\"/>\n", edge);
}

static void timeline(struct buf *b, const struct sim_experiment *e, enum sim_scaler s, double shift)
{
	struct axis x = { 0, fmax(e->hours, 0.01), LEFT, RIGHT, false };
	struct axis y = { 0, (double)e->scaler.max + 1, (double)LINE_BOTTOM + shift,
		          (double)LINE_TOP + shift, false };
	char label[160], style[160];
	(void)snprintf(label, sizeof(label), "%s: nodes over time, first seed", sim_scaler_name(s));
	text(b, LEFT, y.to - 12, "start", "head", label);
	double step = step_of(y.high, 6);
	for (double v = 0; v <= y.high; v += step) {
		(void)snprintf(label, sizeof(label), "%g", v);
		line(b, x.from, at(&y, v), x.to, at(&y, v), "#e3e6ea", 1);
		text(b, x.from - 8, at(&y, v) + 4, "end", "tick", label);
	}
	series(b, e, s, SERIES_DEMAND, &x, &y, "fill=\"#c9d1db\" stroke=\"none\"");
	(void)snprintf(style, sizeof(style),
	               "fill=\"none\" stroke=\"%s\" stroke-width=\"1\" stroke-dasharray=\"2 2\" "
	               "opacity=\"0.7\"",
	               colours[s]);
	series(b, e, s, SERIES_WANTED, &x, &y, style);
	(void)snprintf(style, sizeof(style), "fill=\"none\" stroke=\"%s\" stroke-width=\"2\"",
	               colours[s]);
	series(b, e, s, SERIES_NODES, &x, &y, style);
	line(b, x.from, y.from, x.to, y.from, "#8a929e", 1.2);
	step = step_of(x.high, 10);
	for (double v = 0; v <= x.high * 1.001; v += step) {
		(void)snprintf(label, sizeof(label), "%g h", v);
		text(b, at(&x, v), y.from + 17, "middle", "tick", label);
	}
}

void sim_plot(const struct sim_experiment *e, struct buf *b)
{
	(void)buf_addf(b,
	               "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
	               "viewBox=\"0 0 "
	               "%d %d\" font-family=\"Helvetica,Arial,sans-serif\">\n"
	               "<style>.title{font-size:18px;font-weight:700;fill:#1d2530}"
	               ".head{font-size:14px;font-weight:700;fill:#1d2530}"
	               ".label{font-size:12px;fill:#4a5361}.tick{font-size:11px;fill:#6b7480}"
	               ".name{font-size:12px;fill:#1d2530}"
	               ".ours{font-size:12px;font-weight:700;fill:#0b7a75}</style>\n"
	               "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n",
	               WIDTH, HEIGHT, WIDTH, HEIGHT);
	text(b, LEFT, 30, "start", "title", "Waiting against node hours");
	autofree char *what =
		xasprintf("%s, %.3g h, %zu seed%s, bars are 95%% intervals; lower left is better",
	                  e->csv ? "trace from CSV" : sim_pattern_name(e->load.pattern), e->hours,
	                  e->seeds, e->seeds == 1 ? "" : "s");
	text(b, LEFT, 50, "start", "label", what);
	scatter(b, e);
	timeline(b, e, SIM_OURS, 0);
	timeline(b, e, SIM_DATA_ON_EKS, LINE_GAP);
	text(b, LEFT, HEIGHT - 26, "start", "label",
	     "grey: slots asked for, in nodes (cut at the top); line: nodes that are there; "
	     "dotted: nodes ordered");
	(void)buf_adds(b, "</svg>\n");
}
