#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "scaler/policy/cycle.h"

/* "0*30 4*30": nodes*minutes, "-": not measured; "3(…)": that often. Returns how many minutes it makes. */
static size_t runs(const char *text, int16_t *ret)
{
	size_t n = 0;
	struct str rest = str_of(text), word;
	while (str_split(&rest, ' ', &word)) {
		struct str nodes;
		uint64_t need = 0, minutes = 0;
		assert_true(str_split(&word, '*', &nodes));
		bool unknown = str_eqs(nodes, "-");
		assert_true(unknown || str_to_u64(nodes, &need) == 0);
		assert_int_equal(str_to_u64(word, &minutes), 0);
		while (minutes--)
			ret[n++] = unknown ? -1 : (int16_t)need;
	}
	assert_true(n <= POLICY_CYCLE_MINUTES);
	return n;
}

static void what_the_past_says(void **state)
{
	(void)state;
	static const struct {
		const char *what, *past;
		int64_t horizon, period, nodes, calm;
	} cases[] = {
		{ "nothing is known", "-*720", 5, 0, 0, 0 },
		{ "always the same", "3*720", 5, 0, 0, 0 },
		{ "two cycles are too few", "4*30 0*30 4*30 0*28", 5, 0, 0, 0 },
		{ "nor are two and a half", "0*20 4*30 0*30 4*30 0*30 4*10", 5, 0, 0, 0 },
		{ "three are enough", "4*30 0*30 4*30 0*30 4*30 0*28", 5, 60, 4, 4 },
		{ "not yet", "4*30 0*30 4*30 0*30 4*30 0*30 4*30 0*20", 5, 60, 0, 4 },
		{ "a minute early", "4*30 0*30 4*30 0*30 4*30 0*30 4*30 0*24", 5, 60, 4, 4 },
		{ "a lull begins", "4*30 0*30 4*30 0*30 4*30 0*30 4*31", 5, 60, 0, 0 },
		{ "what was not measured", "-*200 4*30 0*30 4*30 0*30 4*30 0*28", 5, 60, 4, 4 },
		{ "one odd cycle raises nothing", "4*30 0*30 9*30 0*30 4*30 0*30 4*30 0*28", 5, 60,
		  4, 9 },
		{ "one that did not come does not", "4*30 0*30 4*30 0*30 4*30 0*60 0*28", 5, 0, 0,
		  0 },
		{ "what was promised and does not come", "4*30 0*30 4*30 0*30 4*30 0*45", 5, 0, 0,
		  0 },
		{ "it has ended", "4*30 0*30 4*30 0*30 4*30 0*30 4*30 0*200", 5, 0, 0, 0 },
		{ "bursts by no clock", "0*20 5*9 0*70 5*14 0*33 5*6 0*91 5*11 0*25 5*8 0*28", 5, 0,
		  0, 0 },
		{ "an hour is a cycle, two are two of them",
		  "4*30 0*30 4*30 0*30 4*30 0*30 4*30 0*30 4*30 0*30 4*30 0*30 4*30 0*28", 5, 60, 4,
		  4 },
		{ "a queue that was caught up with is no need",
		  "9*5 3*25 0*30 9*5 3*25 0*30 9*5 3*25 0*30", 2, 60, 6, 9 },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int16_t past[POLICY_CYCLE_MINUTES];
		struct policy_cycle c;
		size_t n = runs(cases[i].past, past);
		policy_cycle_find(past, n, cases[i].horizon, 15, &c);
		if (c.period_min != cases[i].period || c.nodes != cases[i].nodes ||
		    c.calm_nodes != cases[i].calm)
			fail_msg("%s: period %lld, %lld nodes, calm %lld", cases[i].what,
			         (long long)c.period_min, (long long)c.nodes,
			         (long long)c.calm_nodes);
	}
}

/* Noise has no period: of a hundred random pasts none is taken for one. */
static void noise_has_none(void **state)
{
	(void)state;
	uint64_t seed = 1;
	int found = 0;
	for (int k = 0; k < 100; k++) {
		int16_t past[POLICY_CYCLE_MINUTES];
		struct policy_cycle c;
		for (size_t i = 0; i < POLICY_CYCLE_MINUTES; i++) {
			seed = seed * 6364136223846793005u + 1442695040888963407u;
			past[i] = (int16_t)(seed >> 33) % 4;
			past[i] = past[i] < 0 ? 0 : past[i];
		}
		policy_cycle_find(past, POLICY_CYCLE_MINUTES, 10, 15, &c);
		found += c.period_min != 0;
		assert_true(c.nodes <= 3 && c.calm_nodes <= 3);
	}
	assert_int_equal(found, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_the_past_says),
		cmocka_unit_test(noise_has_none),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
