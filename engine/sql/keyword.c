#include "engine/sql/keyword.h"

#include "lib/base/mem.h"

static const char *const hard[] = {
	"analyse",      "asof",       "asymmetric",  "at",         "authorization", "collation",
	"concurrently", "deferrable", "do",          "freeze",     "glob",          "initially",
	"isnull",       "lambda",     "notnull",     "only",       "overlaps",      "pivot_longer",
	"pivot_wider",  "placing",    "positional",  "references", "returning",     "some",
	"summarize",    "symmetric",  "tablesample", "unpack",     "variadic",      "verbose",
};

static const char *const soft[] = {
	"centuries",   "century",      "day",       "days",       "decade",      "decades",
	"escape",      "exclude",      "filter",    "hour",       "hours",       "ignore",
	"microsecond", "microseconds", "millennia", "millennium", "millisecond", "milliseconds",
	"minute",      "minutes",      "month",     "months",     "over",        "precision",
	"quarter",     "quarters",     "rename",    "replace",    "respect",     "second",
	"seconds",     "varying",      "week",      "weeks",      "within",      "without",
	"year",        "years",
};

static bool is_in(const char *const *list, size_t n, struct str word)
{
	for (size_t i = 0; i < n; i++)
		if (str_caseeqs(word, list[i]))
			return true;
	return false;
}

bool sql_keyword_hard(struct str word)
{
	return is_in(hard, ARRAY_LEN(hard), word);
}

bool sql_keyword_soft(struct str word)
{
	return is_in(soft, ARRAY_LEN(soft), word);
}
