/* Makes the Star Schema Benchmark's five tables at a small scale, the same bytes for the same scale and seed.
 *
 * Own generator after the benchmark's description (O'Neil, O'Neil, Chen: "The Star Schema Benchmark", 2009, section
 * 2); below scale 1 parts shrink as the other tables do. Thread: a program with one thread.
 * Usage: ssbgen SCALE FOLDER [SEED]; writes dates.csv, customer.csv, supplier.csv, part.csv, lineorder.csv with "|"
 * between fields and no header. */
#include <errno.h>
#include <inttypes.h>

#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/fd.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"

enum { DAYS = 2557 /* 1992-01-01 to 1998-12-31 */, ORDER_LINES_MAX = 7 };

static uint64_t state;

/* splitmix64 (Steele, Lea, Flood 2014): small, seedable, good enough for test data. */
static uint64_t next_random(void)
{
	uint64_t z = (state += 0x9e3779b97f4a7c15u);
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static int64_t between(int64_t low, int64_t high)
{
	return low + (int64_t)(next_random() % (uint64_t)(high - low + 1));
}

static const char *const regions[] = { "AFRICA", "AMERICA", "ASIA", "EUROPE", "MIDDLE EAST" };
static const char *const nations[][5] = {
	{ "ALGERIA", "ETHIOPIA", "KENYA", "MOROCCO", "MOZAMBIQUE" },
	{ "ARGENTINA", "BRAZIL", "CANADA", "PERU", "UNITED STATES" },
	{ "CHINA", "INDIA", "INDONESIA", "JAPAN", "VIETNAM" },
	{ "FRANCE", "GERMANY", "ROMANIA", "RUSSIA", "UNITED KINGDOM" },
	{ "EGYPT", "IRAN", "IRAQ", "JORDAN", "SAUDI ARABIA" },
};
static const char *const months[] = { "January",   "February", "March",    "April",
	                              "May",       "June",     "July",     "August",
	                              "September", "October",  "November", "December" };
static const char *const weekdays[] = { "Sunday",   "Monday", "Tuesday", "Wednesday",
	                                "Thursday", "Friday", "Saturday" };
static const char *const segments[] = { "AUTOMOBILE", "BUILDING", "FURNITURE", "HOUSEHOLD",
	                                "MACHINERY" };
static const char *const colors[] = { "almond", "azure", "beige", "blue",  "brown", "cyan",
	                              "green",  "ivory", "khaki", "lemon", "navy",  "red" };
static const char *const types[] = { "STANDARD TIN", "SMALL NICKEL", "MEDIUM BRASS",
	                             "LARGE STEEL",  "ECONOMY TIN",  "PROMO COPPER" };
static const char *const containers[] = { "SM CASE", "LG BOX", "MED BAG", "JUMBO JAR",
	                                  "WRAP PACK" };
static const char *const priorities[] = { "1-URGENT", "2-HIGH", "3-MEDIUM", "4-NOT SPECI",
	                                  "5-LOW" };
static const char *const modes[] = { "REG AIR", "AIR", "RAIL", "SHIP", "TRUCK", "MAIL", "FOB" };

#define PICK(list) (list)[next_random() % ARRAY_LEN(list)]

struct day {
	int year, month, day, weekday, yearday;
};

/* The n-th day from 1992-01-01, a Wednesday. */
static struct day day_of(int n)
{
	static const int lengths[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	struct day d = { .year = 1992, .month = 0, .weekday = (n + 3) % 7 };
	for (;; d.year++) {
		int length = d.year % 4 == 0 ? 366 : 365;
		if (n < length)
			break;
		n -= length;
	}
	d.yearday = n + 1;
	for (;; d.month++) {
		int length = lengths[d.month] + (d.month == 1 && d.year % 4 == 0);
		if (n < length)
			break;
		n -= length;
	}
	d.day = n + 1;
	return d;
}

static int day_key(int n)
{
	struct day d = day_of(n);
	return d.year * 10000 + (d.month + 1) * 100 + d.day;
}

static void write_dates(FILE *out)
{
	for (int n = 0; n < DAYS; n++) {
		struct day d = day_of(n);
		const char *season = d.month == 11 ? "Christmas"
		                     : d.month < 3 ? "Winter"
		                     : d.month < 6 ? "Spring"
		                     : d.month < 9 ? "Summer"
		                                   : "Fall";
		fprintf(out, "%d|%s %d, %d|%s|%s|%d|%d|%.3s%d|%d|%d|%d|%d|%d|%s|%d|%d|%d|%d\n",
		        day_key(n), months[d.month], d.day, d.year, weekdays[d.weekday],
		        months[d.month], d.year, d.year * 100 + d.month + 1, months[d.month],
		        d.year, d.weekday + 1, d.day, d.yearday, d.month + 1,
		        (d.yearday - 1) / 7 + 1, season, d.weekday == 6, d.day >= 28,
		        d.month == 11 && d.day == 25, d.weekday > 0 && d.weekday < 6);
	}
}

static void write_place(FILE *out)
{
	size_t region = next_random() % ARRAY_LEN(regions);
	const char *nation = nations[region][next_random() % 5];
	fprintf(out, "|%-9.9s%d|%s|%s|%d-%03d-%03d-%04d", nation, (int)between(0, 9), nation,
	        regions[region], (int)between(10, 34), (int)between(100, 999),
	        (int)between(100, 999), (int)between(1000, 9999));
}

static void write_customers(FILE *out, int64_t n)
{
	for (int64_t key = 1; key <= n; key++) {
		fprintf(out, "%" PRId64 "|Customer#%09" PRId64 "|%016" PRIx64, key, key,
		        next_random());
		write_place(out);
		fprintf(out, "|%s\n", PICK(segments));
	}
}

static void write_suppliers(FILE *out, int64_t n)
{
	for (int64_t key = 1; key <= n; key++) {
		fprintf(out, "%" PRId64 "|Supplier#%09" PRId64 "|%016" PRIx64, key, key,
		        next_random());
		write_place(out);
		fputc('\n', out);
	}
}

static void write_parts(FILE *out, int64_t n)
{
	for (int64_t key = 1; key <= n; key++) {
		int maker = (int)between(1, 5), category = (int)between(1, 5),
		    brand = (int)between(1, 40);
		fprintf(out, "%" PRId64 "|%s %s|MFGR#%d|MFGR#%d%d|MFGR#%d%d%d|%s|%s|%d|%s\n", key,
		        PICK(colors), PICK(colors), maker, maker, category, maker, category, brand,
		        PICK(colors), PICK(types), (int)between(1, 50), PICK(containers));
	}
}

struct scale {
	int64_t customers, suppliers, parts, lines;
};

static void write_lineorders(FILE *out, const struct scale *sc)
{
	int64_t written = 0;
	for (int64_t order = 1; written < sc->lines; order++) {
		int lines = (int)between(1, ORDER_LINES_MAX);
		int64_t customer = between(1, sc->customers);
		int day = (int)between(0, DAYS - 1 - 90);
		const char *priority = PICK(priorities);
		int64_t total = between(10000, 40000000);
		for (int line = 1; line <= lines && written < sc->lines; line++, written++) {
			int64_t quantity = between(1, 50),
				price = between(90000, 110000) * quantity / 10;
			int64_t discount = between(0, 10), tax = between(0, 8);
			fprintf(out,
			        "%" PRId64 "|%d|%" PRId64 "|%" PRId64 "|%" PRId64
			        "|%d|%s|0|%" PRId64 "|%" PRId64 "|%" PRId64 "|%" PRId64 "|%" PRId64
			        "|%" PRId64 "|%" PRId64 "|%d|%s\n",
			        order, line, customer, between(1, sc->parts),
			        between(1, sc->suppliers), day_key(day), priority, quantity, price,
			        total, discount, price * (100 - discount) / 100, price * 6 / 10,
			        tax, day_key(day + (int)between(30, 90)), PICK(modes));
		}
	}
}

static int write_table(const char *dir, const char *name, uint64_t seed, const struct scale *sc,
                       struct err *err)
{
	state = str_hash(str_of(name),
	                 seed); /* each table its own stream: one can be made without the others */
	autofree char *path = xasprintf("%s/%s.csv", dir, name);
	FILE *out = fopen(path, "we");
	if (!out)
		return err_errno(err, "cannot write %s", path);
	if (strcmp(name, "dates") == 0)
		write_dates(out);
	else if (strcmp(name, "customer") == 0)
		write_customers(out, sc->customers);
	else if (strcmp(name, "supplier") == 0)
		write_suppliers(out, sc->suppliers);
	else if (strcmp(name, "part") == 0)
		write_parts(out, sc->parts);
	else
		write_lineorders(out, sc);
	bool failed = ferror(out) != 0;
	if (fclose(out) != 0 || failed)
		return err_errno(err, "cannot write %s", path);
	return 0;
}

static int64_t at_least(double rows, int64_t least)
{
	return (int64_t)rows > least ? (int64_t)rows : least;
}

int main(int argc, char **argv)
{
	double factor = 0;
	uint64_t seed = 1;
	if (argc < 3 || argc > 4 || str_to_double(str_of(argv[1]), &factor) < 0 || factor <= 0 ||
	    factor > 10 || (argc == 4 && str_to_u64(str_of(argv[3]), &seed) < 0)) {
		fputs("usage: ssbgen SCALE FOLDER [SEED]   (0 < SCALE <= 10; 1 is 6,000,000 line "
		      "orders)\n",
		      stderr);
		return 2;
	}
	struct scale sc = { at_least(30000 * factor, 300), at_least(2000 * factor, 100),
		            at_least(200000 * factor, 1000), at_least(6000000 * factor, 1000) };
	struct err err = ERR_INIT;
	static const char *const tables[] = { "dates", "customer", "supplier", "part",
		                              "lineorder" };
	int rc = fd_mkdir_p(argv[2], 0755, &err);
	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(tables); i++)
		rc = write_table(argv[2], tables[i], seed, &sc, &err);
	if (rc < 0)
		fprintf(stderr, "ssbgen: %s\n", err.msg);
	return rc < 0;
}
