#include "engine/sql/mode.h"

#include "engine/sqlerr.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"

enum { REFUSED = 1 << 30 };

static const struct {
	const char *name;
	unsigned bit; /* of MySQL's and StarRocks' number */
	unsigned does;
} modes[] = {
	{ "REAL_AS_FLOAT", 0, 0 },
	{ "PIPES_AS_CONCAT", 1, SQL_MODE_PIPES_AS_CONCAT },
	{ "ANSI_QUOTES", 2, REFUSED },
	{ "IGNORE_SPACE", 3, 0 },
	{ "NOT_USED", 4, 0 },
	{ "ONLY_FULL_GROUP_BY", 5, 0 },
	{ "NO_UNSIGNED_SUBTRACTION", 6, 0 },
	{ "NO_DIR_IN_CREATE", 7, 0 },
	{ "ANSI", 18, REFUSED },
	{ "NO_AUTO_VALUE_ON_ZERO", 19, 0 },
	{ "NO_BACKSLASH_ESCAPES", 20, REFUSED },
	{ "STRICT_TRANS_TABLES", 21, 0 },
	{ "STRICT_ALL_TABLES", 22, 0 },
	{ "NO_ZERO_IN_DATE", 23, 0 },
	{ "NO_ZERO_DATE", 24, 0 },
	{ "INVALID_DATES", 25, 0 },
	{ "ALLOW_INVALID_DATES", 25, 0 },
	{ "ERROR_FOR_DIVISION_BY_ZERO", 26, 0 },
	{ "TRADITIONAL", 27, 0 },
	{ "NO_AUTO_CREATE_USER", 28, 0 },
	{ "HIGH_NOT_PRECEDENCE", 29, REFUSED },
	{ "NO_ENGINE_SUBSTITUTION", 30, 0 },
	{ "PAD_CHAR_TO_FULL_LENGTH", 31, 0 },
	{ "TIME_TRUNCATE_FRACTIONAL", 32, 0 },
};

static int refused(const char *value, struct str name, struct err *err)
{
	return err_set(
		err, SQL_ERR(1231),
		"Variable 'sql_mode' can't be set to the value of '%.200s': %.*s is not "
		"supported; PIPES_AS_CONCAT is, and modes that change no statement's meaning "
		"(ONLY_FULL_GROUP_BY, STRICT_TRANS_TABLES, NO_ENGINE_SUBSTITUTION, ...)",
		value, (int)(name.len < 64 ? name.len : 64), name.p);
}

static int from_number(const char *value, uint64_t bits, unsigned *ret, struct err *err)
{
	unsigned does = 0;
	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		if (!(bits >> modes[i].bit & 1))
			continue;
		if (modes[i].does == REFUSED)
			return refused(value, str_of(modes[i].name), err);
		does |= modes[i].does;
	}
	*ret = does;
	return 0;
}

int sql_mode_parse(const char *value, unsigned *ret, struct err *err)
{
	struct str rest = str_trim(str_of(value)), name;
	unsigned does = 0;
	uint64_t number = 0;
	if (str_to_u64(rest, &number) == 0)
		return from_number(value, number, ret, err);
	while (rest.len && str_split(&rest, ',', &name)) {
		size_t i = 0;
		name = str_trim(name);
		while (i < ARRAY_LEN(modes) && !str_caseeqs(name, modes[i].name))
			i++;
		if (name.len && (i == ARRAY_LEN(modes) || modes[i].does == REFUSED))
			return refused(value, name, err);
		if (name.len)
			does |= modes[i].does;
	}
	*ret = does;
	return 0;
}
