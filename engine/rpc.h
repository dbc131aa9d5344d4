/* The messages between FE and workers (BE, CN): the only thing that both sides share.
 *
 * Transport: HTTP/1.1 with JSON bodies (lib/net), `Authorization: Bearer TOKEN` with the node-to-node
 * token on every call; without it the answer is 401. Every message has "v": RPC_VERSION; a receiver
 * accepts RPC_VERSION and RPC_VERSION - 1 and refuses others by number. Ids of nodes, tablets and tables
 * are integers; ids of queries and rowsets are 32 hexadecimal digits (RPC_ID_LEN).
 *
 * Errors: any status but 200 carries {"v":1,"error":{"code":RPC_E_…,"message":text,"retryable":bool}};
 * for RPC_E_INPUT_LOST also "input":{"stage":n,"task":n,"node":"host:port"}.
 *
 * == worker: heartbeat_port (9050) ==
 * POST /rpc/v1/heartbeat   FE -> worker, about once a second
 *   {v, cluster_id:int, node_id:int, fe:"host:rpc_port", ts}
 *   -> {v, role:"be"|"cn", cluster_id, node_id, version, start_ts, be_port, http_port, brpc_port,
 *       cpu_cores:int, mem_limit:int, mem_used:int, disk_total:int, disk_avail:int, data_used:int,
 *       running:int (tasks), slots:int, draining:bool, tablets:int, cached_bytes:int}
 *   A worker keeps the first cluster_id that it hears and refuses another (409, RPC_E_CLUSTER).
 *
 * == worker: brpc_port (8060) ==
 * POST /rpc/v1/tasks       runs one task attempt; the answer comes when it has ended (the connection is
 *   held), so a broken connection means: the worker or the network is gone.
 *   {v, query, stage:int, task:int, attempt:int, digest:hex, timeout_ms, mem_limit:int (bytes, 0 = group's),
 *    group:"default_wg",
 *    ast: the fragment, in the form of DuckDB's json_serialize_sql(); it names its inputs as tables,
 *    settings:{"disabled_optimizers":"join_order"?}, alone:bool? (no other task beside it in the executor: after an
 *    attempt whose executor died or was out of memory, for which another task may have been to blame),
 *    inputs:[INPUT…], output: OUTPUT}
 *   -> 200 {v, rows:int, bytes:int, partitions:[{rows,bytes}…], columns:[{name,type}…],
 *       stats:{wall_ms,cpu_ms,peak_mem,input_bytes}, rowsets:[ROWSET…] or objects:[OBJECT…] (sinks)}
 *   INPUT is one of
 *    {name, kind:"tablets", columns:[{name,type}…], tablets:[{id:int, rowsets:[{id,rows,bytes,crc}…]}…]}
 *       the worker must hold a replica of each (BE)
 *    {name, kind:"objects", columns:[…], s3:S3, objects:[OBJECT…]}       read through the local cache
 *    {name, kind:"exchange", columns:[…], rows:int,
 *       parts:[{addr:"host:brpc_port", stage:int, task:int, attempt:int, from:int, to:int}…]}
 *       partitions [from, to) of those attempts' outputs of the same query
 *    {name, kind:"file", path, format:"csv"|"json", columns:[{name,type}…], options:{…}}   loads only; local
 *       to the worker and never accepted from the network
 *   OUTPUT is one of
 *    {kind:"exchange", partitions:n, keys:[column…] (hash; none: round robin when n > 1), codec:"raw"|"lz4"|"zstd"}
 *    {kind:"tablets", table:int, columns:[{name,type,nullable}…], distribution:[column…],
 *       tablets:[{id:int, bucket:int, replicas:["host:brpc_port"…]}…]}
 *       rows are split by RPC_BUCKET_HASH, one rowset a tablet, copied to every replica before the answer
 *    {kind:"objects", table:int, columns:[…], s3:S3, prefix:"…/", rows_per_object:int}
 *   S3: {endpoint:"http://host:port", region, bucket, path_style:bool, access_key, secret_key}
 *   OBJECT: {key, etag, bytes:int, rows:int}      ROWSET: {tablet:int, id, rows:int, bytes:int, crc:"8 hex"}
 * DELETE /rpc/v1/tasks/{query}/{stage}/{task}/{attempt}   cancels; 200 also when unknown
 * DELETE /rpc/v1/queries/{query}                          cancels its tasks, drops its exchange files
 * GET  /rpc/v1/exchange/{query}/{stage}/{task}/{attempt}?from=P&to=Q
 *   -> 200, engine/exchange format: header for that run of partitions, then their blocks. 404: RPC_E_INPUT_LOST
 * GET  /rpc/v1/tablets/{tablet}/{rowset}   -> the rowset's file (X-Roost-Crc: crc32c of the bytes)
 * PUT  /rpc/v1/tablets/{tablet}/{rowset}   X-Roost-Crc; stores a replica (atomic, checked) -> {v, bytes}
 * POST /rpc/v1/tablets/clone   {v, tablet, rowsets:[{id,rows,bytes,crc}…], from:"host:brpc_port"} -> {v, copied:int}
 * POST /rpc/v1/tablets/keep    {v, tablets:[{id, rowsets:[id…]}…], grace_ms}  deletes what is not named and is
 *   older than the grace -> {v, deleted:int}; the leader FE sends it now and then (garbage collection)
 * POST /rpc/v1/drain           marks draining (a CN that is to leave) -> {v, running:int}
 *
 * == FE: rpc_port (9020) ==
 * POST /rpc/v1/load/begin   worker -> FE, for a Stream Load whose headers it received; the body is taken only after 200
 *   {v, db, table, label ("" = make one), user, password, bytes:int (Content-Length or 0), columns:[name…] (of the
 *    "columns" header, may be empty), timeout_ms, worker:"host:brpc_port"}
 *   -> 200 {v, txn:int, label, columns:[{name,type,nullable,default?}…], output: OUTPUT, query:id}
 *   -> 200 {v, outcome:"label_exists", label, existing:"FINISHED"|"RUNNING"} / 401 RPC_E_AUTH / 404 RPC_E_SQL
 * POST /rpc/v1/load/commit  {v, txn, rows, bytes, rowsets:[…] or objects:[…]} -> {v, version:int}
 *   After 200 the rows are visible and durable. Sent again with the same txn it answers the same.
 * POST /rpc/v1/load/abort   {v, txn, reason} -> {v}
 * POST /rpc/v1/node/draining {v, node_id, role, draining:bool}  a worker that got SIGTERM says so at once -> {v}
 */
#ifndef ROOST_ENGINE_RPC_H
#define ROOST_ENGINE_RPC_H

enum {
	RPC_VERSION = 1,
	RPC_ID_LEN = 32,
	RPC_BODY_MAX = 64 * 1024 * 1024, /* of a JSON message */
	RPC_STAGES_MAX = 64,
	RPC_TASKS_MAX = 10000, /* of a stage */
	RPC_PARTITIONS_MAX = 4096,
	RPC_ATTEMPTS_MAX = 4,
	RPC_HEARTBEAT_MS = 1000,
};

/* Error codes: what the receiver does with each. */
#define RPC_E_SQL "sql" /* the statement's fault: shown to the user, never retried */
#define RPC_E_OOM "oom" /* over the memory limit; message as StarRocks words it; as crashed */
#define RPC_E_CANCELLED "cancelled"
#define RPC_E_TIMEOUT "timeout"
#define RPC_E_DRAINING "draining"     /* send it elsewhere */
#define RPC_E_INPUT_LOST "input_lost" /* an input is gone: run its producer again */
#define RPC_E_CRASHED \
	"crashed" /* the executor died; the node lives: retry once, alone, then give up */
#define RPC_E_CLUSTER "other_cluster"
#define RPC_E_AUTH "auth"
#define RPC_E_INTERNAL "internal" /* retryable as its flag says */

/* The bucket of a row, in SQL that every executor evaluates alike: hash(col, …) % buckets of DuckDB 2.0,
 * each column cast to VARCHAR first so that widening a type never moves rows. */
#define RPC_BUCKET_HASH "hash"

/* The environment variable that names the token file; and the path that it has in pods. */
#define RPC_TOKEN_ENV "ROOST_TOKEN_FILE"

#endif
