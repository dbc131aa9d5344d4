#include "engine/node/fixture.h"

#include <netinet/in.h>
#include <sys/socket.h>

static const char *const plain[] = { "Authorization: Basic cm9vdDpwdw==", "label: l1",
	                             "column_separator: \\x01", "Expect:", NULL };

static struct answer load(struct place *p, size_t i, const char *const *headers, const char *body)
{
	struct answer a;
	autofree char *url =
		xasprintf("http://127.0.0.1:%d/api/db/t/_stream_load", node_http_port(p->nodes[i]));
	assert_int_equal(call_with(p->client, "PUT", url, headers, body, &a), 0);
	return a;
}

static const char *status_of(const struct answer *a)
{
	const char *status = data_get_str(a->json, "Status");
	return status ? status : "(none)";
}

static int rowsets(struct place *p, size_t i)
{
	_cleanup_json_ json_t *report = heartbeat(p, i, 9).json;
	return (int)data_get_int(report, "tablets", -1);
}

static void rows_are_committed(void **state)
{
	struct place *p = *state;
	_answer_ a = load(p, 0, plain, "1\n2\nx\n3\n");
	assert_int_equal(a.status, 200);
	assert_string_equal(status_of(&a), "Success");
	assert_int_equal(data_get_int(a.json, "TxnId", 0), 77);
	assert_int_equal(data_get_int(a.json, "NumberTotalRows", 0), 4);
	assert_int_equal(data_get_int(a.json, "NumberLoadedRows", 0), 3);
	assert_int_equal(data_get_int(a.json, "NumberFilteredRows", 0), 1);
	assert_int_equal(data_get_int(a.json, "LoadBytes", 0), 8);
	assert_string_equal(fake.last_input, "1\n2\nx\n3\n");
	assert_non_null(strstr(p->fe.began, "\"password\":\"pw\""));
	assert_non_null(strstr(p->fe.began, "\"label\":\"l1\""));
	assert_non_null(strstr(p->fe.committed, "\"tablet\":11"));
	assert_non_null(strstr(p->fe.committed, "\"rows\":3"));
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(rowsets(p, i), 1);
	/* The first error can be read under ErrorURL. */
	_answer_ log;
	static const char *const none[] = { "X-None: 1", NULL };
	assert_int_equal(
		call_with(p->client, "GET", data_get_str(a.json, "ErrorURL"), none, "", &log), 0);
	assert_non_null(strstr(log.text, "'x' is no INT"));
}

/* What connectors say unasked and what is done anyway. */
static void headers_that_ask_for_nothing(void **state)
{
	struct place *p = *state;
	static const char *const headers[] = { "Authorization: Basic cm9vdDpwdw==",
		                               "partial_update: False",
		                               "compression: NONE",
		                               "negative: false",
		                               "Expect:",
		                               NULL };
	_answer_ a = load(p, 0, headers, "1\n");
	assert_string_equal(status_of(&a), "Success");
}

static void a_lost_commit_is_asked_again(void **state)
{
	struct place *p = *state;
	p->fe.fail_commits = 2;
	_answer_ a = load(p, 0, plain, "1\n");
	assert_string_equal(status_of(&a), "Success");
	assert_int_equal(p->fe.commits, 3);
	assert_int_equal(p->fe.aborts, 0);
}

static void failures_abort(void **state)
{
	struct place *p = *state;
	atomic_store(&fake.fail_next, 1);
	_answer_ a = load(p, 0, plain, "1\n");
	assert_int_equal(a.status, 200);
	assert_string_equal(status_of(&a), "Fail");
	assert_int_equal(p->fe.aborts, 1);
	assert_int_equal(p->fe.commits, 0);
	atomic_store(&fake.no_rows, 1);
	_answer_ empty = load(p, 0, plain, "");
	assert_string_equal(status_of(&empty), "Fail");
	assert_int_equal(p->fe.aborts, 2);
	atomic_store(&fake.no_rows, 0);
	p->fe.refuse_commit = true;
	_answer_ refused = load(p, 0, plain, "1\n");
	assert_string_equal(status_of(&refused), "Fail");
	assert_int_equal(p->fe.aborts, 3);
	assert_int_equal(p->fe.commits, 1);
	assert_int_equal(data_get_int(refused.json, "NumberLoadedRows", -1), 0);
}

static void labels_are_used_once(void **state)
{
	struct place *p = *state;
	p->fe.label_exists = true;
	_answer_ a = load(p, 0, plain, "1\n");
	assert_string_equal(status_of(&a), "Label Already Exists");
	assert_string_equal(data_get_str(a.json, "ExistingJobStatus"), "FINISHED");
	assert_non_null(strstr(data_get_str(a.json, "Message"), "[l1]"));
	assert_int_equal(atomic_load(&fake.runs), 0);
	assert_int_equal(p->fe.aborts, 0);
}

static void strangers_are_refused(void **state)
{
	struct place *p = *state;
	static const char *const none[] = { "label: l1", "Expect:", NULL };
	_answer_ a = load(p, 0, none, "1\n");
	assert_int_equal(a.status, 401);
	assert_int_equal(p->fe.begins, 0);
	p->fe.refuse_user = true;
	_answer_ b = load(p, 0, plain, "1\n");
	assert_int_equal(b.status, 401);
	assert_int_equal(p->fe.begins, 1);
	assert_int_equal(data_get_int(b.json, "LoadBytes", -1), 0);
	assert_int_equal(p->fe.spooled,
	                 0); /* nothing of it was on the disk when the FE was asked */
	assert_string_equal(data_get_str(b.json, "Message"), "Access denied");
	assert_int_equal(atomic_load(&fake.runs), 0);
}

static int begin_of_a_body(struct place *p)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
		                  .sin_port = htons((uint16_t)node_http_port(p->nodes[0])),
		                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	static const char head[] = "PUT /api/db/t/_stream_load HTTP/1.1\r\nHost: x\r\n"
				   "Authorization: Basic cm9vdDpwdw==\r\n"
				   "Content-Length: 500\r\n\r\n1\n2";
	assert_int_equal(connect(fd, (const struct sockaddr *)&to, sizeof(to)), 0);
	assert_int_equal(fd_write_all(fd, head, sizeof(head) - 1, NULL), 0);
	return fd;
}

static bool heard(struct place *p, const int *count)
{
	for (int i = 0; i < 3000; i++) {
		(void)pthread_mutex_lock(&p->fe.lock);
		bool is = *count > 0;
		(void)pthread_mutex_unlock(&p->fe.lock);
		if (is)
			return true;
		clock_sleep_ms(10);
	}
	return false;
}

/* Its label would be taken until the transaction times out. */
static void a_body_that_breaks_off_aborts(void **state)
{
	struct place *p = *state;
	int fd = begin_of_a_body(p);
	assert_true(heard(p, &p->fe.begins));
	fd_closep(&fd);
	assert_true(heard(p, &p->fe.aborts));
	assert_non_null(strstr(p->fe.aborted, "\"txn\":77"));
	assert_non_null(strstr(p->fe.aborted, "ended in the body"));
}

static void bad_requests_begin_nothing(void **state)
{
	struct place *p = *state;
	static const struct {
		const char *header, *says;
	} cases[] = {
		{ "where: a > 1", "where" },
		{ "columns: a,b=a+1", "columns" },
		{ "columns: k,v,K", "K is named twice" },
		{ "format: orc", "format" },
		{ "partial_update: true", "partial_update" },
		{ "compression: gzip", "compression" },
		{ "negative: yes", "negative" },
		{ "timeout: 0", "timeout" },
		{ "max_filter_ratio: 2", "max_filter_ratio" },
		{ "row_delimiter: |", "row_delimiter" },
		{ "enclose: ab", "enclose" },
		{ "skip_header: -1", "skip_header" },
		{ "label: a b", "label" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *const headers[] = { plain[0], cases[i].header, "Expect:", NULL };
		_answer_ a = load(p, 0, headers, "1\n");
		assert_string_equal(status_of(&a), "Fail");
		assert_non_null(strstr(data_get_str(a.json, "Message"), cases[i].says));
	}
	char big[1100];
	memset(big, '1', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	_answer_ a = load(p, 0, plain, big);
	assert_non_null(strstr(data_get_str(a.json, "Message"), "streaming_load_max_mb"));
	assert_int_equal(p->fe.begins, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(rows_are_committed, setup, teardown),
		cmocka_unit_test_setup_teardown(headers_that_ask_for_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(a_lost_commit_is_asked_again, setup, teardown),
		cmocka_unit_test_setup_teardown(failures_abort, setup, teardown),
		cmocka_unit_test_setup_teardown(labels_are_used_once, setup, teardown),
		cmocka_unit_test_setup_teardown(strangers_are_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(a_body_that_breaks_off_aborts, setup, teardown),
		cmocka_unit_test_setup_teardown(bad_requests_begin_nothing, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
